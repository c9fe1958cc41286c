// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// A child that prints so many lines a second; each says when, in ms of this machine's clock.

const rate = Number(process.argv[2]);
const began = performance.now();
const every = Math.max(10, 1000 / rate);
let n = 0;
setInterval(() => {
  let out = '';
  for (const due = ((performance.now() - began) / 1000) * rate; n < due; n++) out += `@${(performance.timeOrigin + performance.now()).toFixed(2)} #${n} request GET /products/${n % 977} answered in ${n % 211} ms with a line of ordinary length\n`;
  if (out) process.stdout.write(out);
}, every);
