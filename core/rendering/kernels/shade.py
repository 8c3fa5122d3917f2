"""The light that comes back from every pixel that shows a body."""

import warp as wp

from core.rendering.kernels.lights import Lights, radiance
from core.rendering.kernels.primary import Hits
from core.rendering.kernels.shapes import Eye, look
from core.rendering.kernels.skin import Skin, skin_at
from core.rendering.kernels.smoothing import shares_at
from core.rendering.kernels.visibility import Seen

wp.set_module_options({"enable_backward": False})


GRAZING = wp.constant(0.16)
"""How much of what smooth skin would mirror at grazing angles is left by its relief and down."""


@wp.struct
class Gloss:
    """Mirroring at normal incidence, two roughnesses, the share of the second, and how strong."""

    mirrored: float
    rough: float
    rougher: float
    share: float
    strength: float
    soft: wp.vec3


@wp.struct
class Dress:
    """What lies on skin, by texture coordinates: a map of materials, or a texture.

    ``paint`` has for each material a colour, and 1 if it replaces that of skin, 0 if it tints it.
    """

    materials: wp.array2d[wp.uint8]
    paint: wp.array[wp.vec4]
    textured: int
    texture: wp.array3d[wp.uint8]


@wp.struct
class Shaded:
    """Linear light, albedo without lesions, and what a grey card of albedo 1 would send back."""

    light: wp.array2d[wp.vec3]
    albedo: wp.array2d[wp.vec3]
    card: wp.array2d[wp.vec3]


@wp.func
def linear(value: float) -> float:
    if value <= 0.04045:
        return value / 12.92
    return wp.pow((value + 0.055) / 1.055, 2.4)


@wp.func
def texel(texture: wp.array3d[wp.uint8], row: int, column: int) -> wp.vec3:
    return wp.vec3(
        linear(float(texture[row, column, 0]) / 255.0),
        linear(float(texture[row, column, 1]) / 255.0),
        linear(float(texture[row, column, 2]) / 255.0),
    )


@wp.func
def from_texture(texture: wp.array3d[wp.uint8], uv: wp.vec2) -> wp.vec3:
    """Return the bilinear colour at ``uv`` (v up), in linear light."""
    rows = texture.shape[0]
    columns = texture.shape[1]
    y = wp.clamp((1.0 - uv[1]) * float(rows) - 0.5, 0.0, float(rows) - 1.0)
    x = wp.clamp(uv[0] * float(columns) - 0.5, 0.0, float(columns) - 1.0)
    i = int(y)
    j = int(x)
    i1 = wp.min(i + 1, rows - 1)
    j1 = wp.min(j + 1, columns - 1)
    v = y - float(i)
    u = x - float(j)
    low = texel(texture, i, j) * (1.0 - u) + texel(texture, i, j1) * u
    high = texel(texture, i1, j) * (1.0 - u) + texel(texture, i1, j1) * u
    return low * (1.0 - v) + high * v


@wp.func
def material_at(materials: wp.array2d[wp.uint8], uv: wp.vec2) -> int:
    """Return what lies at ``uv`` (v up); at the border of skin what is nearest and not skin."""
    rows = materials.shape[0]
    columns = materials.shape[1]
    x = uv[0] * float(columns)
    y = (1.0 - uv[1]) * float(rows)
    column = wp.clamp(int(x), 0, columns - 1)
    row = wp.clamp(int(y), 0, rows - 1)
    found = int(materials[row, column])
    best = float(1.0e9)
    if found == 0:
        for i in range(-2, 3):
            for j in range(-2, 3):
                r = wp.clamp(row + i, 0, rows - 1)
                c = wp.clamp(column + j, 0, columns - 1)
                dx = float(c) + 0.5 - x
                dy = float(r) + 0.5 - y
                away = dx * dx + dy * dy
                if away < best and materials[r, c] != wp.uint8(0):
                    best = away
                    found = int(materials[r, c])
    return found


@wp.func
def ggx(facing: float, to_eye: float, to_light: float, rough: float) -> float:
    """Return D V of Trowbridge-Reitz with Smith's shadowing (Heitz 2014, height-correlated)."""
    a = rough * rough
    d = facing * facing * (a - 1.0) + 1.0
    spread = a / (3.14159265 * d * d)
    eye_side = to_light * wp.sqrt(to_eye * to_eye * (1.0 - a) + a)
    light_side = to_eye * wp.sqrt(to_light * to_light * (1.0 - a) + a)
    return spread * 0.5 / wp.max(eye_side + light_side, 1.0e-5)


@wp.func
def fresnel(mirrored: float, cosine: float) -> float:
    grazing = 1.0 - wp.clamp(cosine, 0.0, 1.0)
    squared = grazing * grazing
    return mirrored + (1.0 - mirrored) * squared * squared * grazing


@wp.func
def wrap(cosine: float, width: float) -> float:
    """Return diffuse light that bleeds ``width`` beyond the terminator; energy is kept."""
    return wp.max(cosine + width, 0.0) / ((1.0 + width) * (1.0 + width))


@wp.func
def softened(smooth: float, rough: float, soft: wp.vec3, seen: float) -> wp.vec3:
    """Return diffuse light per channel: red travels furthest, so it sees the least relief."""
    made = wp.vec3(0.0, 0.0, 0.0)
    for c in range(3):
        bent = smooth + (rough - smooth) * (1.0 - 2.2 * soft[c])
        open_share = seen + (1.0 - seen) * seen * soft[c]
        edge = wp.clamp((smooth + 0.05) / 0.2, 0.0, 1.0)
        made[c] = wrap(bent, soft[c]) * (1.0 - edge + edge * open_share)
    return made


@wp.func
def bounced(seen: float, albedo: float) -> float:
    """Return the share seen with light that meets skin twice (Jimenez et al. 2016)."""
    a = 2.0404 * albedo - 0.3324
    b = 0.6417 - 4.7951 * albedo
    c = 2.7552 * albedo + 0.6903
    return wp.max(seen, ((seen * a + b) * seen + c) * seen)


@wp.kernel
def shade(
    eye: Eye,
    hits: Hits,
    seen: Seen,
    lights: Lights,
    skin: Skin,
    gloss: Gloss,
    dress: Dress,
    density: wp.array2d[wp.vec3],
    first_row: int,
    first_half: int,
    shaded: Shaded,
):
    row, column = wp.tid()
    if hits.face[row, column] < 0:
        return
    direction = look(eye, float(column) + 0.5, float(first_row + row) + 0.5)
    depth = hits.depth[row, column]
    position = hits.position[row, column]
    normal = hits.normal[row, column]
    view = -wp.normalize(direction)
    facing_eye = wp.max(wp.dot(normal, view), 0.05)
    pixel = depth / eye.focal / wp.sqrt(facing_eye)
    patch = skin_at(skin, position, pixel)
    strength = gloss.strength
    soft = gloss.soft
    if dress.textured == 1:
        patch.albedo = from_texture(dress.texture, hits.uv[row, column])
    elif hits.skin[row, column] == wp.uint8(0):
        paint = dress.paint[material_at(dress.materials, hits.uv[row, column])]
        colour = wp.vec3(paint[0], paint[1], paint[2])
        if paint[3] > 0.5:
            soft = wp.vec3(0.0, 0.0, 0.0)
            strength = 0.3 * gloss.strength
            patch.slope = patch.slope * 0.5
            patch.albedo = colour
        else:
            patch.albedo = wp.cw_mul(patch.albedo, colour)
    bump = patch.slope - normal * wp.dot(patch.slope, normal)
    rough_normal = wp.normalize(normal - bump)
    od = density[row, column]
    albedo = patch.albedo
    if od[0] != 0.0 or od[1] != 0.0 or od[2] != 0.0:
        albedo = wp.cw_mul(albedo, wp.vec3(wp.exp(-od[0]), wp.exp(-od[1]), wp.exp(-od[2])))
    half_row = 0.5 * float(first_row + row) - float(first_half)
    shares = shares_at(seen, half_row, 0.5 * float(column), depth, normal)
    diffuse = wp.vec3(0.0, 0.0, 0.0)
    mirror = wp.vec3(0.0, 0.0, 0.0)
    to_eye = wp.max(wp.dot(rough_normal, view), 0.05)
    for light in range(lights.count):
        to_light = lights.place[light] - position
        away = wp.length(to_light)
        incoming = to_light / away
        shine = lights.colour[light] / (away * away)
        smooth = wp.dot(normal, incoming)
        rough = wp.dot(rough_normal, incoming)
        diffuse += wp.cw_mul(shine, softened(smooth, rough, soft, shares[light]))
        if rough > 0.0 and smooth > 0.0:
            halfway = wp.normalize(incoming + view)
            facing = wp.max(wp.dot(rough_normal, halfway), 0.0)
            wider = 0.5 * lights.radius[light] / away
            one = ggx(facing, to_eye, rough, wp.min(gloss.rough + wider, 1.0))
            two = ggx(facing, to_eye, rough, wp.min(gloss.rougher + wider, 1.0))
            lobes = one * (1.0 - gloss.share) + two * gloss.share
            weight = lobes * fresnel(gloss.mirrored, wp.dot(halfway, view)) * rough
            mirror += shine * (3.14159265 * weight * shares[light])
    around = radiance(lights, rough_normal, False)
    open_sky = shares[3]
    for c in range(3):
        diffuse[c] = diffuse[c] + around[c] * bounced(open_sky, albedo[c])
    reflected = rough_normal * (2.0 * wp.dot(rough_normal, view)) - view
    sheen = gloss.mirrored + GRAZING * (fresnel(gloss.mirrored, to_eye) - gloss.mirrored)
    mirror += radiance(lights, reflected, True) * (sheen * open_sky * open_sky)
    shaded.light[row, column] = wp.cw_mul(albedo, diffuse) + mirror * strength
    shaded.albedo[row, column] = patch.albedo
    shaded.card[row, column] = diffuse
