// Keeps the part of a page that is called "live" up to date: fetches the page again every two seconds and swaps that
// part, until paused. It stops by itself where the fresh page has no script for it, such as one of an ended replay.
const button = document.getElementById("pause");
let paused = false;
if (button) {
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Resume" : "Pause";
  });
}

async function refresh() {
  if (paused || document.hidden) return;
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("live");
  if (fresh) document.getElementById("live").replaceWith(fresh);
  if (!page.querySelector('script[src="/static/live.js"]')) clearInterval(timer);
}

const timer = setInterval(() => refresh().catch(() => {}), 2000);
