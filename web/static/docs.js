// Starts Swagger UI over the description of this service; nothing is asked of another host.
"use strict";

addEventListener("DOMContentLoaded", () => {
  SwaggerUIBundle({
    url: `${document.documentElement.dataset.up}openapi.json`,
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: null, // would send the description to swagger.io
    queryConfigEnabled: false, // an address must not choose another document
    tryItOutEnabled: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
  });
});
