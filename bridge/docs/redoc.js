// /redoc: the whole API as a document to read and to print. What several calls share is described once, and
// linked to.

const wantedHere = () => false; // members of named types: under "Types"

function anchor(kind, name) {
  return `${kind}-${encodeURIComponent(name)}`;
}

function nameOfType(name) {
  return make("a", { href: `#${anchor("type", name)}` }, name);
}

// The members of a body, also when it is of a named type.
function bodyFields(schema) {
  const name = nameOfReference(schema);
  return fieldsOf(schema, (other) => other === name);
}

function contentParts(content) {
  return Object.entries(content).flatMap(([type, { schema = {}, ...rest }]) => {
    const example = rest.example ?? rest.examples;
    return [
      make("p", { class: "media" }, make("code", {}, type), " ", ...typeOf(schema)),
      ...fieldText(schema), ...bodyFields(schema),
      ...(example === undefined ? [] : [codeBlock(exampleText({ schema, ...rest }))]),
    ];
  });
}

function parameterList(parameters) {
  return make("dl", { class: "fields" }, ...parameters.flatMap((parameter) => [
    make("dt", {}, ...fieldHead(parameter.name, parameter.schema, parameter.required), " ",
      make("span", { class: "place" }, parameter.in)),
    make("dd", {}, ...fieldText(parameter.schema, parameter.description)),
  ]));
}

// What the call answers itself, and then, on one line, what it shares with others.
function answers(call) {
  const all = Object.entries(call.responses ?? {});
  const shared = all.filter(([, answer]) => answer.$ref);
  return [
    ...all.filter(([, answer]) => !answer.$ref).flatMap(([status, answer]) => [
      make("h4", {}, "Answer ", make("code", {}, status)),
      ...prose(answer.description), ...answerParts(answer, wantedHere),
    ]),
    ...(shared.length ? [make("p", {}, "Also ", ...between(shared.map(([status, answer]) => [
      make("a", { href: `#${anchor("answer", nameOfReference(answer))}` }, status),
    ]), ", "), ".")] : []),
  ];
}

function callSection(call) {
  return make("section", { id: anchor("call", call.id), class: "entry" },
    make("h3", {}, call.summary ?? call.id),
    make("p", { class: "route" }, ...routeOf(call)),
    ...(call.deprecated ? [make("p", { class: "required" }, "Deprecated")] : []),
    ...prose(call.description),
    make("p", { class: "screen" },
      make("a", { href: `${base}/docs#${encodeURIComponent(call.id)}` }, `Try ${call.id}`)),
    ...(call.parameters.length ? [make("h4", {}, "Parameters"), parameterList(call.parameters)] : []),
    ...(call.body ? [make("h4", {}, "Body"), ...prose(call.body.description), ...contentParts(call.body.content)] : []),
    ...answers(call));
}

// The statuses with which calls give a shared answer.
function statusesOf(name, calls) {
  const given = calls.flatMap((call) => Object.entries(call.responses ?? {}))
    .filter(([, answer]) => nameOfReference(answer) === name);
  return [...new Set(given.map(([status]) => status))].sort();
}

function answerSection([name, reference], calls) {
  const answer = resolve(reference);
  return make("section", { id: anchor("answer", name), class: "entry" },
    make("h3", {}, make("code", {}, statusesOf(name, calls).join(", ")), " ", name),
    ...prose(answer.description), ...answerParts(answer, wantedHere));
}

function typeSection([name, schema]) {
  return make("section", { id: anchor("type", name), class: "entry" },
    make("h3", {}, make("code", {}, name)),
    ...fieldText(schema),
    ...(resolveSchema(schema).properties ? [] : [make("p", { class: "type" }, ...typeOf(schema))]),
    ...fieldsOf(schema, wantedHere));
}

function chapter(title, description, sections) {
  return make("section", { class: "chapter", id: anchor("chapter", title) },
    make("h2", {}, title), ...prose(description), ...sections);
}

function contents(groups, chapters) {
  const links = groups.map((group) => make("li", {}, make("a", { href: `#${anchor("chapter", group.name)}` }, group.name),
    make("ul", {}, ...group.calls.map((call) => make("li", {},
      make("a", { href: `#${anchor("call", call.id)}` }, call.summary ?? call.id))))));
  const others = chapters.map((title) => make("li", {}, make("a", { href: `#${anchor("chapter", title)}` }, title)));
  return make("nav", { "aria-label": "Contents" }, make("h2", {}, "Contents"), make("ul", {}, ...links, ...others));
}

show("Reference", (main) => {
  const groups = listGroups();
  const calls = groups.flatMap((group) => group.calls);
  const shared = Object.entries(api.components?.responses ?? {})
    .filter(([name]) => statusesOf(name, calls).length > 0)
    .sort(([one], [other]) => statusesOf(one, calls)[0].localeCompare(statusesOf(other, calls)[0]));
  const types = Object.entries(api.components?.schemas ?? {});
  const chapters = [
    ["Answers of many calls", "", shared.map((entry) => answerSection(entry, calls))],
    ["Types", "", types.map(typeSection)],
  ].filter(([, , sections]) => sections.length > 0);
  main.className = "document";
  main.firstChild.append(...prose(api.info.summary), ...prose(api.info.description));
  main.append(contents(groups, chapters.map(([title]) => title)),
    ...groups.map((group) => chapter(group.name, group.description, group.calls.map(callSection))),
    ...chapters.map((parts) => chapter(...parts)));
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
});
