// A table that scrolls can be scrolled by keys.
document$.subscribe(() => {
  for (const each of document.querySelectorAll(".md-typeset__scrollwrap")) {
    each.tabIndex = 0;
  }
});
