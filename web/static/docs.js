// Starts Swagger UI over the description of this service; nothing is asked of another host.
"use strict";

// The colour scheme of the dashboard: a choice there holds here, too.
function colour() {
  let chosen = "";
  try {
    chosen = localStorage.getItem("theme") ?? "";
  } catch {
    // Storage is off: the system's scheme it is.
  }
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.classList.toggle("dark-mode", dark);
}

// Swagger UI leaves these parts without names or in a wrong order; it draws them again at each click.
function level(heading, number) {
  heading.setAttribute("role", "heading");
  heading.setAttribute("aria-level", number);
}

function name(page) {
  page.querySelector(".information-container")?.setAttribute("role", "region");
  page.querySelector(".information-container")?.setAttribute("aria-label", "About this interface");
  for (const heading of page.querySelectorAll("h3, .models h4")) level(heading, 2);
  for (const heading of page.querySelectorAll(".opblock-body h4")) level(heading, 3);
  for (const heading of page.querySelectorAll(".opblock-body h5")) level(heading, 4);
  for (const box of page.querySelectorAll("[data-param-name] select, [data-param-name] input, [data-param-name] textarea")) {
    box.setAttribute("aria-label", box.closest("[data-param-name]").dataset.paramName);
  }
  for (const box of page.querySelectorAll(".examples-select-element")) box.setAttribute("aria-label", "Example");
  for (const box of page.querySelectorAll(".body-param textarea")) box.setAttribute("aria-label", "Request body");
  for (const box of page.querySelectorAll(".microlight")) box.setAttribute("tabindex", "0");
  page.querySelectorAll("[role=region]").forEach((region, place) => {
    if (!region.hasAttribute("aria-labelledby")) region.setAttribute("aria-label", `Responses ${place + 1}`);
  });
}

colour();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", colour);

addEventListener("DOMContentLoaded", () => {
  const page = document.getElementById("swagger-ui");
  let due = false;
  new MutationObserver(() => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => { due = false; name(page); });
  }).observe(page, { childList: true, subtree: true });
  SwaggerUIBundle({
    url: `${document.documentElement.dataset.up}openapi.json`,
    dom_id: "#swagger-ui",
    deepLinking: false, // its links lie within buttons, which no screen reader can tell
    validatorUrl: null, // would send the description to swagger.io
    queryConfigEnabled: false, // an address must not choose another document
    tryItOutEnabled: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
  });
});
