// Browsers start no worker for a page that is opened from a folder. The search of the site runs in
// an empty frame of the page then; messages arrive later than they are sent, as with a worker.
if (location.protocol === "file:") {
  const send = (target, data) =>
    setTimeout(() => target.dispatchEvent(new MessageEvent("message", { data })));

  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.inner = frame.contentWindow;
      this.inner.postMessage = data => send(this, structuredClone(data));
      const script = this.inner.document.createElement("script");
      this.loaded = new Promise(done => { script.onload = done; });
      script.src = new URL(url, location.href);
      this.inner.document.body.append(script);
    }
    set onmessage(heard) { this.addEventListener("message", heard); }
    async postMessage(data) {
      const sent = structuredClone(data);
      await this.loaded;
      send(this.inner, sent);
    }
    terminate() { this.inner.frameElement.remove(); }
  };
}
