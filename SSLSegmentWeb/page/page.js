// What the page does by itself: uploads, the question before it is left, and the word when the server is gone.
(() => {
  "use strict";

  // Where trame's client asks for the address of its websocket.
  document.documentElement.dataset.sessionManagerUrl = `connection?${window.location.protocol === "https:" ? "tls" : ""}`;

  const state = (name) => window.trame?.state?.get(name);
  const set = (name, value) => window.trame?.state?.set(name, value);

  const nameOf = (files) => (files.length === 1 ? files[0].name : files[0].webkitRelativePath.split("/")[0]) || "series";

  function send(kind, files) {
    const request = new XMLHttpRequest();
    const one = files.length === 1 && !files[0].webkitRelativePath;
    const body = one ? files[0] : new FormData();
    if (!one) files.forEach((file, index) => body.append(`file${index}`, file, file.name));
    const done = new Promise((resolve) => {
      request.upload.onprogress = (event) => set("upload_share", event.total ? (100 * event.loaded) / event.total : null);
      request.onload = () => resolve(request.status === 204 ? "" : request.responseText || "The upload was refused.");
      request.onerror = () => resolve("The upload was interrupted, or is larger than this server takes: try again.");
    });
    request.open("POST", `files/${kind}?name=${encodeURIComponent(nameOf(files))}`);
    request.send(body);
    return done;
  }

  async function upload(kind, input) {
    const files = [...input.files].filter((file) => !file.name.startsWith("."));
    input.value = "";
    if (!files.length) return;
    set("data_error", "");
    set("data_busy", `Uploading ${nameOf(files)} …`);
    const error = await send(kind, files);
    set("upload_share", null);
    set("data_busy", "");
    if (error) set("data_error", error);
  }

  function sayThatItIsGone() {
    if (document.querySelector(".ssl-gone")) return;
    const curtain = document.createElement("div");
    curtain.className = "ssl-gone";
    curtain.setAttribute("role", "alertdialog");
    curtain.setAttribute("aria-label", "Connection lost");
    curtain.dataset.testid = "gone";
    curtain.style.cssText =
      "position:fixed;inset:0;z-index:10000;display:flex;flex-direction:column;align-items:center;justify-content:center;" +
      "gap:16px;background:#121212;color:#eee;font:16px sans-serif;text-align:center;padding:24px";
    const sentence = document.createElement("p");
    sentence.textContent =
      "The connection to SSLSegment is lost: start again, and your drawing is there if the server still has it.";
    const button = document.createElement("button");
    button.textContent = "Start again";
    button.dataset.testid = "start-again";
    button.style.cssText = "padding:10px 20px;border-radius:6px;background:#1976d2;color:#fff;font:inherit;cursor:pointer";
    button.onclick = () => {
      leaving = true;
      window.location.assign("./?start=1"); // a session that lives is kept
    };
    curtain.append(sentence, button);
    document.body.append(curtain);
    button.focus();
  }

  let leaving = false;
  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(...parameters) {
      super(...parameters);
      this.addEventListener("close", () => leaving || sayThatItIsGone());
    }
  };
  window.addEventListener("pagehide", () => {
    leaving = true;
  });
  window.addEventListener("beforeunload", (event) => {
    if (leaving || !state("data_unsaved")) return;
    event.preventDefault();
    event.stopImmediatePropagation(); // trame's own listener hangs up, although the user may choose to stay
  });
  window.sslsegment = { upload };
})();
