// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// What a hostile sender puts into bodies, names, attributes and URLs.

export const HOSTILE = [
  '<script>pwned.push(1)</script>',
  '<img src=x onerror="pwned.push(2)">',
  '"><svg onload=pwned.push(3)>',
  "javascript:pwned.push(4)",
  '<a href="javascript:pwned.push(5)">x</a>',
  '<iframe srcdoc="<script>parent.pwned.push(6)</script>"></iframe>',
  '<style>@import "http://evil.example/x.css"</style>',
  '<base href="http://evil.example/">',
  '{{constructor.constructor("pwned.push(7)")()}}',
  '</textarea><script>pwned.push(8)</script>',
  '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=pwned.push(9)&gt;">',
  '\u202e gnidaelsim \u0000\u0007',
  '__proto__',
  'data:text/html,<script>pwned.push(10)</script>',
  '//evil.example/%2e%2e',
];
