// Reads grey PNG files as numbers, 8 or 16 bit: a browser rounds 16 bit to 8, and small numbers to 0.
// Format: https://www.w3.org/TR/png-3/

const HEADER = 8;
const NAMES = { ihdr: 0x49484452, idat: 0x49444154, iend: 0x49454e44 };

// Returns width, height and values of a grey picture without interlacing; null of any other.
export async function numbersOf(buffer) {
  const view = new DataView(buffer);
  const width = view.getUint32(16);
  const height = view.getUint32(20);
  const [depth, type, , , interlace] = new Uint8Array(buffer, 24, 5);
  if (view.getUint32(12) !== NAMES.ihdr || type !== 0 || interlace || (depth !== 8 && depth !== 16)) return null;
  const size = depth / 8;
  const bytes = unfiltered(await inflated(new Blob(parts(view))), width * size, height, size);
  const values = new Uint16Array(width * height);
  for (let at = 0; at < values.length; at += 1) {
    values[at] = size === 1 ? bytes[at] : (bytes[2 * at] << 8) | bytes[2 * at + 1];
  }
  return { width, height, values };
}

// The compressed data: all chunks IDAT, one after another.
function parts(view) {
  const found = [];
  for (let at = HEADER; at + 12 <= view.byteLength;) {
    const length = view.getUint32(at);
    const name = view.getUint32(at + 4);
    if (name === NAMES.idat) found.push(new Uint8Array(view.buffer, at + 8, length));
    if (name === NAMES.iend) break;
    at += 12 + length;
  }
  return found;
}

async function inflated(blob) {
  const stream = blob.stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Each line begins with the number of the filter that was laid over it; `step` bytes are a pixel.
function unfiltered(data, line, height, step) {
  const bytes = new Uint8Array(line * height);
  for (let y = 0; y < height; y += 1) {
    const filter = data[y * (line + 1)];
    for (let x = 0; x < line; x += 1) {
      const at = y * line + x;
      const left = x >= step ? bytes[at - step] : 0;
      const up = y ? bytes[at - line] : 0;
      const corner = x >= step && y ? bytes[at - line - step] : 0;
      const guess = [0, left, up, (left + up) >> 1, nearest(left, up, corner)][filter];
      bytes[at] = data[y * (line + 1) + 1 + x] + guess;
    }
  }
  return bytes;
}

// Paeth's predictor.
function nearest(left, up, corner) {
  const sum = left + up - corner;
  const [a, b, c] = [Math.abs(sum - left), Math.abs(sum - up), Math.abs(sum - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}
