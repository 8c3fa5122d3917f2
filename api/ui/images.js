// The images of a version, and what is annotated on each. Pictures are drawn on canvases: a key in a
// header cannot go along with an <img>.

import { numbersOf } from "./png.js";

const PAGE = 60;
const element = (id) => document.getElementById(id);
let call;
let listed = 0; // counts the lists that were asked for: a late answer of an earlier one is dropped
let opened = 0; // the same of images
let shown = null;

async function bitmap(path) {
  return createImageBitmap(await (await call(path)).blob());
}

function paint(canvas, picture) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").drawImage(picture, 0, 0);
}

function tile(image) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "tile";
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 128;
  const text = document.createElement("small");
  text.textContent = `${image.label}${image.source === "synthetic" ? ", synthetic" : ""}`;
  made.append(canvas, text);
  made.addEventListener("click", () => openImage(image).catch(fail));
  bitmap(`${image.thumbnail_url.slice(1)}?size=128`).then((found) => paint(canvas, found), () => {
    text.textContent += " (no thumbnail)";
  });
  return made;
}

export function setUp(caller) {
  call = caller;
  element("close-images").addEventListener("click", () => { listed += 1; element("images").hidden = true; });
  element("close-image").addEventListener("click", () => element("image").close());
  element("strength").addEventListener("input", draw);
  element("picture").addEventListener("pointermove", tell);
}

// Lists a version, page after page.
export async function openVersion(name, version) {
  const turn = ++listed;
  element("images-title").textContent = `Images of ${name}`;
  element("tiles").replaceChildren();
  element("images").hidden = false;
  element("images").scrollIntoView();
  await more(version, null, turn);
}

async function more(version, cursor, turn) {
  const next = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
  const page = await (await call(`v1/dataset-versions/${version}/images?limit=${PAGE}${next}`)).json();
  if (turn !== listed) return;
  element("tiles").append(...page.items.map(tile));
  element("more-images").hidden = page.next_cursor === null;
  element("more-images").onclick = () => more(version, page.next_cursor, turn).catch(fail);
}

function fail(error) {
  element("state").textContent = error.message;
}

async function openImage(image) {
  const turn = ++opened;
  const path = `v1/images/${image.id}`;
  const [picture, annotations] = await Promise.all([
    bitmap(`${path}/content`),
    call(`${path}/annotations`).then((answer) => answer.json()),
  ]);
  if (turn !== opened) return;
  shown = { picture, layer: null, numbers: null, name: "" };
  element("image-title").textContent = `${image.label}: ${image.filename}`;
  const pictures = annotations.items.filter((item) => item.media_type === "image/png");
  const files = annotations.items.filter((item) => item.media_type !== "image/png");
  element("layers").replaceChildren(option("none", null, true), ...pictures.map((i) => option(i.name, i, false)));
  element("files").replaceChildren(...files.map(download));
  element("over").textContent = pictures.length ? "" : "Nothing is annotated on this image.";
  draw();
  element("image").showModal();
}

function option(name, item, checked) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name: "layer", value: name, checked });
  input.addEventListener("change", () => choose(item).catch(fail));
  label.append(input, ` ${name}`);
  return label;
}

function download(item) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = `${item.name} (${Math.ceil(item.bytes / 1024)} KiB)`;
  made.setAttribute("aria-label", `Download ${item.name}`);
  made.addEventListener("click", async () => {
    const answer = await call(item.links.self.slice(1));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? item.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  });
  return made;
}

// Lays an annotation over the image: numbers as colours, other pictures as they are.
async function choose(item) {
  const image = shown;
  Object.assign(image, { layer: null, numbers: null, name: item?.name ?? "" });
  if (item) {
    const data = await (await call(item.links.self.slice(1))).blob();
    const numbers = await numbersOf(await data.arrayBuffer());
    const layer = numbers ? coloured(numbers) : await createImageBitmap(data);
    if (image !== shown || image.name !== item.name) return; // another was chosen meanwhile
    Object.assign(image, { layer, numbers });
  }
  element("over").textContent = "";
  draw();
}

function coloured({ width, height, values }) {
  const made = new OffscreenCanvas(width, height);
  const context = made.getContext("2d");
  const pixels = context.createImageData(width, height);
  const colours = new Map([[0, [0, 0, 0, 0]]]);
  for (const value of new Set(values)) if (value) colours.set(value, colour(context, value));
  values.forEach((value, at) => pixels.data.set(colours.get(value), 4 * at));
  context.putImageData(pixels, 0, 0);
  return made;
}

// Neighbouring numbers lie far apart on the wheel: steps of the golden angle.
function colour(context, number) {
  context.fillStyle = `hsl(${(number * 137.508) % 360} 85% 50%)`;
  const hex = parseInt(context.fillStyle.slice(1), 16);
  return [hex >> 16, (hex >> 8) & 255, hex & 255, 255];
}

function draw() {
  const canvas = element("picture");
  paint(canvas, shown.picture);
  if (!shown.layer) return;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.globalAlpha = Number(element("strength").value);
  context.drawImage(shown.layer, 0, 0, canvas.width, canvas.height);
  context.globalAlpha = 1;
}

function tell(event) {
  if (!shown?.numbers) return;
  const { width, height, values } = shown.numbers;
  const box = element("picture").getBoundingClientRect();
  const x = Math.min(width - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * width)));
  const y = Math.min(height - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * height)));
  element("over").textContent = `${shown.name} ${values[y * width + x]} at ${x}, ${y}`;
}
