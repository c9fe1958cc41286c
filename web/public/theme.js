// Sets the theme before the first paint; a file of its own because the content security policy allows no inline script.
try {
  var t = localStorage.getItem('tailrace.theme');
  document.documentElement.dataset.theme = t === 'light' || t === 'dark' ? t : matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark';
} catch (e) {
  document.documentElement.dataset.theme = 'dark';
}
