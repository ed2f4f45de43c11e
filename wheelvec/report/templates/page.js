const plain = (cell) => cell.textContent.trim();
const number = (text) => parseFloat(text.replace(/[,%]/g, ""));

function compared(a, b) {
  const [x, y] = [number(a), number(b)];
  const numbers = /^[-+]?[\d,.]+%?$/;
  if (numbers.test(a) && numbers.test(b)) return x - y;
  if (numbers.test(a) !== numbers.test(b)) return numbers.test(a) ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

function sorted(table, column, head) {
  const body = table.tBodies[0];
  const down = head.getAttribute("aria-sort") === "descending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "ascending" : "descending");
  const rows = [...body.rows].map((row) => [plain(row.cells[column]), row]);
  rows.sort((a, b) => (down ? compared(a[0], b[0]) : compared(b[0], a[0])));
  body.append(...rows.map((pair) => pair[1]));
}

function filtered(box) {
  const text = box.querySelector("input").value.trim().toLowerCase();
  const table = box.querySelector("table");
  const heads = [...table.tHead.rows[0].cells].map((cell) => plain(cell).toLowerCase());
  const [name, begin] = text.split(/:(.*)/s);
  const column = begin === undefined ? -1 : heads.indexOf(name.trim());
  let count = 0;
  for (const row of table.tBodies[0].rows) {
    const keep = column < 0
      ? row.textContent.toLowerCase().includes(text)
      : plain(row.cells[column]).toLowerCase().startsWith(begin.trim());
    row.hidden = !keep;
    count += keep;
  }
  box.querySelector(".tools span").textContent = `${count.toLocaleString("en-US")} rows`;
}

function downloaded(box) {
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = [...box.querySelectorAll("tr")].filter((row) => !row.hidden);
  const lines = rows.map((row) => [...row.cells].map((cell) => {
    const text = plain(cell);
    return quoted(/^[-+]?[\d,]+(\.\d+)?$/.test(text) ? text.replaceAll(",", "") : text);
  }).join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], {type: "text/csv"}));
  link.download = `${box.dataset.name}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

for (const box of document.querySelectorAll(".table[data-name]")) {
  const tools = document.createElement("div");
  tools.className = "tools";
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = "filter, or column:beginning";
  input.setAttribute("aria-label", `Filter the table ${box.dataset.name}`);
  input.addEventListener("input", () => filtered(box));
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Download CSV";
  button.addEventListener("click", () => downloaded(box));
  tools.append(input, button, document.createElement("span"));
  box.querySelector(".scroll").before(tools);
  [...box.querySelectorAll("th")].forEach((head, column) => {
    const sort = document.createElement("button");
    sort.type = "button";
    sort.textContent = head.textContent;
    head.replaceChildren(sort);
    sort.addEventListener("click", () => sorted(head.closest("table"), column, head));
  });
  filtered(box);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-table]");
  if (!link) return;
  const box = document.getElementById(link.dataset.table);
  box.querySelector("input").value = `${link.dataset.column}:${link.dataset.value}`;
  filtered(box);
  event.preventDefault();
  box.scrollIntoView();
  box.querySelector("input").focus({preventScroll: true});
});

function fitted(spec, width) {
  if (spec.vconcat) return {...spec, vconcat: spec.vconcat.map((one) => ({...one, width: width - 92}))};
  return {...spec, width, autosize: {type: "fit-x", contains: "padding"}};
}

async function drawn(place) {
  const width = Math.floor(place.clientWidth);
  if (place.dataset.width === String(width)) return;
  place.dataset.width = width;
  const spec = JSON.parse(document.getElementById(place.dataset.spec).textContent);
  const inner = document.createElement("div");
  place.style.minHeight = `${place.clientHeight}px`;
  const view = await window.vegaEmbed(inner, fitted(spec, width), {ast: true, actions: false, renderer: "svg"});
  if (place.view) place.view.finalize();
  place.view = view;
  place.replaceChildren(inner);
  place.style.minHeight = "";
  place.classList.add("drawn");
}

const places = [...document.querySelectorAll(".chart")];
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) drawn(entry.target);
}, {rootMargin: "600px"});
places.forEach((place) => near.observe(place));
let waiting;
window.addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => places.filter((place) => place.classList.contains("drawn")).forEach(drawn), 150);
});
window.addEventListener("beforeprint", () => places.forEach(drawn));
