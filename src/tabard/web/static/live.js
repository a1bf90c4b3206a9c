// Keeps the messages page live: fetches the page again every two seconds and swaps the list, until paused.
const button = document.getElementById("pause");
let paused = false;
button.hidden = false;
button.addEventListener("click", () => {
  paused = !paused;
  button.textContent = paused ? "Resume" : "Pause";
});

async function refresh() {
  if (paused || document.hidden) return;
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
  if (fresh) document.getElementById("live").replaceWith(fresh);
}

setInterval(() => refresh().catch(() => {}), 2000);
