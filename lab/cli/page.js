// The page's part of what textual-serve's script lacks: the address, the focus, and a socket that finds its lab again.
"use strict";

const PlainSocket = window.WebSocket;
const LAB_HAS_QUIT = 1000;
const SECONDS_BETWEEN = 1;
const lab = crypto.getRandomValues(new Uint32Array(4)).join("-");

class LastingSocket extends EventTarget {
  constructor(address) {
    super();
    this.open(`${address}&lab=${lab}`);
  }

  open(address) {
    const socket = (this.socket = new PlainSocket(address));
    let returning = address;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", (event) => this.dispatchEvent(new MessageEvent("message", { data: event.data })));
    socket.addEventListener("open", () => {
      returning = address.replace(/(&again)?$/, "&again");
      document.body.classList.remove("-lost");
      this.dispatchEvent(new Event("open"));
    });
    socket.addEventListener("close", (event) => {
      document.body.classList.toggle("-lost", event.code !== LAB_HAS_QUIT);
      if (event.code === LAB_HAS_QUIT) this.dispatchEvent(new Event("close"));
      else setTimeout(() => this.open(returning), 1000 * SECONDS_BETWEEN);
    });
  }

  send(text) {
    if (this.socket.readyState === PlainSocket.OPEN) this.socket.send(text);
  }
}

window.WebSocket = LastingSocket;
document.querySelector("#terminal").dataset.sessionWebsocketUrl = new URL("ws", location.href).href.replace(/^http/, "ws");
window.addEventListener("load", () => document.querySelector(".xterm-helper-textarea").focus());
