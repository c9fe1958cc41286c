// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// A line without axes, for a cell. SVG: attributes only, no style.

export function Spark({ points, label, width = 110, height = 22, max }: { points: (number | null)[]; label: string; width?: number; height?: number; max?: number }) {
  const values = points.filter((p): p is number => p !== null);
  if (values.length < 2) return <span className="faint">–</span>;
  const top = Math.max(max ?? 0, ...values) || 1;
  const step = width / (points.length - 1);
  const line = points.map((p, i) => (p === null ? '' : `${i === 0 || points[i - 1] === null ? 'M' : 'L'}${(i * step).toFixed(1)} ${(height - 2 - (p / top) * (height - 4)).toFixed(1)}`)).join('');
  return (
    <svg className="spark" width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="img" aria-label={label}>
      <path d={`${line}L${width} ${height}L0 ${height}Z`} className="spark-area" />
      <path d={line} className="spark-line" />
    </svg>
  );
}
