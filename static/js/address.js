// The page of the next task takes the address of that very task, so that reload, Back and bookmarks come to it again.
const page = document.querySelector("[data-address]");
if (page && location.pathname !== page.dataset.address) history.replaceState(history.state, "", page.dataset.address);
