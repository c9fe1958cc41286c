// The fonts of the reader's machine, none from a server.
import theme from 'vitepress/theme-without-fonts';

import './style.css';

export default theme;
