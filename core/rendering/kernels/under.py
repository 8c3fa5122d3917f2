"""The skin below a lesion's texels: what it is to be blended with."""

import warp as wp

from core.rendering.kernels.decals import Decals
from core.rendering.kernels.shade import Dress, from_texture
from core.rendering.kernels.shapes import Shape, texture_uv
from core.rendering.kernels.skin import Skin, skin_at

wp.set_module_options({"enable_backward": False})


@wp.kernel
def skin_under(
    shape: Shape,
    decals: Decals,
    skin: Skin,
    dress: Dress,
    pixel: float,
    albedo: wp.array2d[wp.vec3],
):
    """Look down on the one lesion of ``decals``; albedo -1 where nothing is met."""
    row, column = wp.tid()
    texel = decals.texel[0]
    x = (float(column) + 0.5 - 0.5 * float(decals.columns[0])) * texel
    y = (float(row) + 0.5 - 0.5 * float(decals.rows[0])) * texel
    normal = decals.normal[0]
    lift = decals.reach[0]
    start = decals.centre[0] + decals.across[0] * x + decals.down[0] * y + normal * lift
    albedo[row, column] = wp.vec3(-1.0, -1.0, -1.0)
    found = wp.mesh_query_ray(shape.mesh, start, -normal, 2.0 * lift)
    if not found.result:
        return
    if dress.textured == 1:
        uv = texture_uv(shape, found.face, found.u, found.v)
        albedo[row, column] = from_texture(dress.texture, uv)
    else:
        albedo[row, column] = skin_at(skin, start - normal * found.t, pixel).albedo
