/* What a page does by itself: ages and countdowns that go on, dialogs, light and dark, and saying when it is cut off. */
"use strict";
(function () {
  const root = document.documentElement;
  const kept = (() => { try { return localStorage.getItem("quorate-theme"); } catch { return null; } })();
  if (kept === "light" || kept === "dark") root.dataset.theme = kept;

  let ahead = 0;                 // the server's clock less ours, in ms
  let heard = Date.now();        // when the server said something last, by our clock
  let source = null;             // the stream of events that is open
  let asleep = false;            // a page that nobody sees holds none: browsers open six connections to a server, not more
  const sleepAfter = 30000;
  let asked = 0;                 // when a silent server was asked last whether it still knows us
  const silentAfter = 8000;

  const now = () => Date.now() + ahead;
  function age(ms) {
    const s = Math.max(0, Math.floor(ms / 1000));
    if (s < 120) return s + "s";
    if (s < 7200) return Math.floor(s / 60) + "m";
    if (s < 172800) return Math.floor(s / 3600) + "h";
    return Math.floor(s / 86400) + "d";
  }
  function tick() {
    for (const one of document.querySelectorAll("time[data-age]")) {
      const text = age(now() - Number(one.dataset.age));
      if (one.textContent !== text) one.textContent = text;
    }
    for (const one of document.querySelectorAll("time[data-until]")) {
      const rest = Number(one.dataset.until) - now();
      const text = rest > 0 ? one.dateTime.slice(11, 19) + " UTC (in " + age(rest) + ")" : one.dateTime.slice(11, 19) + " UTC (any moment)";
      if (one.textContent !== text) one.textContent = text;
    }
    const lost = document.getElementById("lost");
    if (!lost) return;
    const silent = !asleep && Date.now() - heard > silentAfter;
    if (silent && lost.hidden) {
      const at = new Date(heard + ahead).toISOString().slice(11, 19);
      lost.textContent = "Cut off: this page has heard nothing from its server since " + at + " UTC, and what it shows is from then. It goes on by itself.";
    }
    lost.hidden = !silent;
    if (silent && Date.now() - asked > 4000) {
      asked = Date.now();
      fetch("/who").then((answer) => { if (answer.status === 401) location.assign("/"); }).catch(() => {});
    }
  }
  function pulse(data) {
    heard = Date.now();
    if (!data) return;
    const told = JSON.parse(data);
    if (told.over) { location.assign("/"); return; }
    ahead = told.now - Date.now();
    for (const [node, at] of Object.entries(told.beats || {})) {
      for (const one of document.querySelectorAll("[data-beat='" + CSS.escape(node) + "'] time")) one.dataset.age = at;
    }
    tick();
  }
  function toast(text, bad) {
    const box = document.createElement("div");
    box.className = bad ? "toast bad" : "toast";
    const words = document.createElement("span");
    words.textContent = text;
    const close = document.createElement("button");
    close.type = "button"; close.className = "small"; close.textContent = "Close";
    close.addEventListener("click", () => box.remove());
    box.append(words, close);
    document.getElementById("toasts").append(box);
    setTimeout(() => box.remove(), bad ? 20000 : 9000);
  }
  function csrf() { return JSON.parse(document.body.getAttribute("hx-headers"))["X-Quorate-Csrf"]; }

  document.addEventListener("DOMContentLoaded", () => {
    const dialog = document.getElementById("dialog");
    const said = document.getElementById("pulse");
    if (said) ahead = Number(said.dataset.now) - Date.now();
    tick();
    setInterval(tick, 500);
    if (!dialog) return;
    let opener = null;

    htmx.createEventSource = (url) => { source = new EventSource(url); return source; };
    let nap = 0;
    function show(address) {
      htmx.ajax("GET", address, { target: "#live", select: "#live", swap: "outerHTML show:none" });
    }
    document.addEventListener("visibilitychange", () => {
      clearTimeout(nap);
      if (document.hidden) {
        nap = setTimeout(() => { asleep = true; if (source) source.close(); }, sleepAfter);
      } else if (asleep) {
        asleep = false;
        heard = Date.now();
        show(location.pathname + location.search);
      }
    });

    document.addEventListener("click", (event) => {
      const link = event.target.closest("#live a[href^='/']");
      if (link && event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey) {
        event.preventDefault();
        show(link.getAttribute("href"));
        return;
      }
      const target = event.target.closest("[data-dialog], [data-close], [data-theme-toggle], [data-post]");
      if (!target) return;
      if (target.dataset.dialog) {
        opener = target.id;
        htmx.ajax("GET", target.dataset.dialog, { target: "#dialog-body", swap: "innerHTML" });
      } else if ("close" in target.dataset) {
        dialog.close();
      } else if ("themeToggle" in target.dataset) {
        const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
        root.dataset.theme = dark ? "light" : "dark";
        try { localStorage.setItem("quorate-theme", root.dataset.theme); } catch { /* it holds until the page is left */ }
      } else {
        target.disabled = true;
        fetch(target.dataset.post, { method: "POST", headers: { "X-Quorate-Csrf": csrf() } })
          .then(async (answer) => { const text = await answer.text(); toast(text, !answer.ok); })
          .catch(() => toast("The server of this page cannot be reached. Nothing is known of what became of it.", true))
          .finally(() => { const same = document.getElementById(target.id); if (same) { same.disabled = false; same.focus(); } });
      }
    });
    document.addEventListener("keydown", (event) => {
      if (event.target.closest("input, select, textarea, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "/") { event.preventDefault(); const q = document.getElementById("q"); q.focus(); q.select(); }
      if (event.key === "?") { event.preventDefault(); document.getElementById("help").click(); }
    });
    function shut() {
      document.getElementById("dialog-body").replaceChildren();  // at once: htmx still says that it has swapped
      dialog.close();
    }
    dialog.addEventListener("close", () => {
      document.getElementById("dialog-body").replaceChildren();
      const back = opener && document.getElementById(opener);
      if (back) back.focus();
    });
    document.body.addEventListener("htmx:afterSwap", (event) => {
      if (event.detail.target && event.detail.target.id === "dialog-body" && !dialog.open && event.detail.target.childElementCount) dialog.showModal();
      tick();
    });
    document.body.addEventListener("htmx:sseBeforeMessage", (event) => {
      heard = Date.now();
      if (event.detail.type !== "pulse") return;
      event.preventDefault();
      pulse(event.detail.data);
    });
    document.body.addEventListener("htmx:sseOpen", () => pulse(""));
    document.body.addEventListener("quorate:done", (event) => { shut(); toast(event.detail.value, false); });
    document.body.addEventListener("htmx:responseError", (event) => toast(event.detail.xhr.responseText || "It failed: " + event.detail.xhr.status, true));
    document.body.addEventListener("htmx:sendError", () => toast("The server of this page cannot be reached. Nothing is known of what became of it.", true));
  });
})();
