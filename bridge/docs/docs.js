// /docs: the calls, each of which opens, with a form to try it. A link to /docs#operationId opens that one.

function nameOfType(name) {
  return name;
}

// ---- the request that a form makes ----

// Of an array each item is a value; the others have one.
function valuesOf(field) {
  const text = field.value.trim();
  if (!text) return [];
  return "array" in field.dataset ? text.split(",").map((part) => part.trim()) : [text];
}

function readRequest(call, form) {
  let path = call.path;
  const query = [];
  const headers = {};
  for (const field of form.querySelectorAll("[data-in]")) {
    for (const value of valuesOf(field)) {
      const [name, text] = [field.name, value].map(encodeURIComponent);
      if (field.dataset.in === "path") path = path.replace(`{${field.name}}`, text);
      if (field.dataset.in === "query") query.push(`${name}=${text}`);
      if (field.dataset.in === "header") headers[field.name] = value;
    }
  }
  const body = form.querySelector("textarea")?.value;
  if (body) headers["Content-Type"] = form.querySelector("[name=content-type]").value;
  const target = base + path + (query.length ? `?${query.join("&")}` : "");
  return { method: call.method, url: location.origin + target, headers, body: body || undefined };
}

// The request for a POSIX shell, in which the key is a variable: a line is copied to many places.
function curlLine({ method, url, headers, body }) {
  const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const verb = method === "GET" ? "" : method === "HEAD" ? "-I " : `-X ${method} `;
  return [
    `curl ${verb}${quote(url)}`,
    ...(key ? ['-H "Authorization: Bearer $TRIGGERS_API_KEY"'] : []),
    ...Object.entries(headers).map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`),
    ...(body ? [`--data-raw ${quote(body)}`] : []),
  ].join(" \\\n  ");
}

async function copy(block, status) {
  try {
    await navigator.clipboard.writeText(block.textContent);
    status.textContent = "Copied";
  } catch {
    // Without TLS there is no clipboard: select it for the reader.
    getSelection().selectAllChildren(block);
    status.textContent = "Selected: copy it with your keyboard or menu";
  }
}

// ---- the answer ----

const STREAM_MILLISECONDS = 5000;

function pretty(text, type) {
  if (!/json/.test(type ?? "")) return text;
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  return prettyJson(text);
}

function answerElements(call, answer, text) {
  const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  const body = codeBlock(pretty(text, answer.headers.get("Content-Type")));
  // It scrolls, which must be possible with the keyboard too.
  body.tabIndex = 0;
  body.setAttribute("role", "region");
  body.setAttribute("aria-label", `Answer of ${call.id}`);
  return [make("h5", {}, "Headers"), codeBlock(headers), make("h5", {}, "Body"), text ? body : make("p", {}, "None")];
}

// The body; of a stream, which does not end, what comes in the first seconds.
async function textOf(answer) {
  if (!/event-stream/.test(answer.headers.get("Content-Type") ?? "")) return answer.text();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const stop = setTimeout(() => reader.cancel(), STREAM_MILLISECONDS);
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
  clearTimeout(stop);
  return text;
}

async function send(call, request, status, output) {
  status.textContent = "Sending …";
  output.replaceChildren();
  const start = performance.now();
  try {
    const headers = { ...request.headers, ...authorization() };
    const answer = await fetch(request.url, { ...request, headers });
    const text = await textOf(answer);
    const milliseconds = Math.round(performance.now() - start);
    status.replaceChildren(
      make("strong", { class: answer.ok ? "good" : "bad" }, `${answer.status} ${answer.statusText}`.trim()),
      ` in ${milliseconds} ms, ${new Blob([text]).size} bytes`);
    output.replaceChildren(...answerElements(call, answer, text));
  } catch (error) {
    status.textContent = `No answer: ${error.message}`;
  }
}

// ---- the form ----

function inputFor(parameter, id) {
  const schema = resolveSchema(parameter.schema);
  const inPath = parameter.in === "path";
  const attributes = {
    id,
    name: parameter.name,
    "data-in": parameter.in,
    "data-array": schema.type === "array",
    "aria-describedby": `${id}-text`,
    required: parameter.required ?? false,
  };
  const choices = schema.enum ?? (schema.type === "boolean" ? [true, false] : undefined);
  if (choices) {
    const texts = parameter.required ? choices : ["", ...choices];
    return make("select", attributes, ...texts.map((text) => make("option", {}, String(text))));
  }
  const example = parameter.example ?? schema.example ?? schema.examples?.[0];
  return make("input", {
    ...attributes,
    type: "text",
    inputmode: schema.type === "integer" ? "numeric" : undefined,
    placeholder: example === undefined ? undefined : `such as ${example}`,
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
    // Browsers take dots out of a path, even encoded ones: it would be another call.
    pattern: inPath ? "(?!\\s*\\.{1,2}\\s*$).*\\S.*" : undefined,
    title: inPath ? "Not empty, and not . or .." : undefined,
  });
}

function parameterField(call, parameter) {
  const id = `${call.id}-${parameter.in}-${parameter.name}`;
  const array = resolveSchema(parameter.schema).type === "array" ? [", with commas between its items"] : [];
  return make("div", { class: "field" },
    make("label", { for: id }, ...fieldHead(parameter.name, parameter.schema, parameter.required)),
    make("span", { class: "place" }, parameter.in, ...array),
    inputFor(parameter, id),
    make("div", { id: `${id}-text` }, ...fieldText(parameter.schema, parameter.description)));
}

function bodyField(call) {
  const contents = call.body.content;
  const types = Object.keys(contents);
  const id = `${call.id}-body`;
  const choice = make("select", { name: "content-type", id: `${id}-type` },
    ...types.map((type) => make("option", {}, type)));
  const text = make("textarea", { id, spellcheck: "false", autocapitalize: "none", required: call.body.required });
  const fields = make("div", {});
  const change = () => {
    const content = contents[choice.value];
    text.value = exampleText(content);
    text.rows = Math.min(Math.max(text.value.split("\n").length + 1, 4), 24);
    fields.replaceChildren(
      make("p", {}, make("span", { class: "type" }, ...typeOf(content.schema))),
      ...fieldText(content.schema), ...fieldsOf(content.schema));
  };
  choice.addEventListener("change", change);
  change();
  return [
    make("h4", {}, "Body"),
    ...prose(call.body.description),
    make("div", { class: "body" }, fields,
      make("div", { class: "field" },
        make("label", { for: choice.id }, "Content-Type"), choice,
        make("label", { for: id }, "Content"), text)),
  ];
}

function tryForm(call) {
  const curl = codeBlock("");
  const copied = make("span", { role: "status", class: "place" });
  const copyButton = make("button", { type: "button", "aria-label": "Copy the curl line" }, "Copy");
  const status = make("p", { role: "status", class: "status" });
  const output = make("div", { class: "answer" });
  const form = make("form", { "aria-label": `Try ${call.id}` },
    ...(call.parameters.length ? [make("h4", {}, "Parameters")] : []),
    ...call.parameters.map((parameter) => parameterField(call, parameter)),
    ...(call.body ? bodyField(call) : []),
    make("button", { class: "send" }, "Send"), status, output,
    make("div", { class: "head" }, make("h4", {}, "The same with curl"), copied, copyButton), curl);
  const refresh = () => {
    curl.firstChild.textContent = curlLine(readRequest(call, form));
    copied.textContent = "";
  };
  form.addEventListener("input", refresh);
  addEventListener("key", refresh);
  copyButton.addEventListener("click", () => copy(curl, copied));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(call, readRequest(call, form), status, output);
  });
  refresh();
  return form;
}

// ---- the calls ----

function answerDetails([status, reference]) {
  const answer = resolve(reference);
  return make("details", { class: "response", open: status.startsWith("2") },
    make("summary", {}, make("code", {}, status), " ", ...inline(answer.description ?? "")),
    make("div", {}, ...answerParts(answer)));
}

// The call as an element that fills itself when it opens.
function callDetails(call) {
  const content = make("div", {});
  const details = make("details", { class: "call", id: call.id },
    make("summary", {}, make("h3", {}, ...routeOf(call), " ", make("span", { class: "summary" }, call.summary ?? ""))), content);
  details.fill = () => {
    if (content.hasChildNodes()) return;
    content.append(
      ...(call.deprecated ? [make("p", { class: "required" }, "Deprecated")] : []),
      ...prose(call.description),
      make("p", {}, make("a", { href: `#${encodeURIComponent(call.id)}` }, "Link to this call")),
      tryForm(call),
      make("h4", {}, "Possible answers"), ...Object.entries(call.responses ?? {}).map(answerDetails));
  };
  details.addEventListener("toggle", details.fill);
  return details;
}

// Opens the call that the address names, in whatever case.
function openNamed() {
  const name = decodeURIComponent(location.hash.slice(1)).toLowerCase();
  const details = [...document.querySelectorAll("details.call")].find((call) => call.id.toLowerCase() === name);
  if (!details) return;
  details.fill();
  details.open = true;
  details.scrollIntoView();
  details.querySelector("summary").focus({ preventScroll: true });
}

show("Calls", (main) => {
  main.firstChild.append(
    ...prose(api.info.summary),
    keyField("Sent with each call that you try here, where keys are needed; it stays in this page."),
    make("p", {}, "Open a call to see its fields and to try it. To read it all: ",
      make("a", { href: `${base}/redoc` }, "the reference"), "; for programs: ",
      make("a", { href: `${base}/openapi.json` }, "openapi.json"), "."),
    ...(api.info.description ? [make("details", { class: "about" },
      make("summary", {}, "What holds for every call"), make("div", {}, ...prose(api.info.description)))] : []));
  for (const group of listGroups()) {
    main.append(make("section", {},
      make("h2", {}, group.name), ...prose(group.description), ...group.calls.map(callDetails)));
  }
  addEventListener("hashchange", openNamed);
  openNamed();
});
