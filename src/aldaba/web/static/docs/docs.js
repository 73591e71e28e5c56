// Shows the service's document. Calls can be tried out only where the service itself is: browsers keep other pages out.
"use strict";

const page = document.getElementById("swagger-ui");
const atHome = new URL(page.dataset.server, location).origin === location.origin;
document.getElementById("elsewhere").hidden = atHome;

const dark = matchMedia("(prefers-color-scheme: dark)");
const followColours = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", followColours);
followColours();

SwaggerUIBundle({
  domNode: page,
  url: page.dataset.document,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
  supportedSubmitMethods: atHome ? ["get", "post", "put", "patch", "delete"] : [],
});
