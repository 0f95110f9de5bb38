/** What happened in one world over time. */
export interface Curve {
  title: string;
  minutes: number;
  best: ((minute: number) => number) | null;
  curve: readonly { minute: number; limit: number; queued: number }[];
}

const [WIDTH, HEIGHT, MARGIN, COLUMNS] = [420, 190, 36, 2];

/** One small chart per world: the limit, what waits in the upstream, and what would be best. */
export function plot(curves: readonly Curve[]): string {
  const rows = Math.ceil(curves.length / COLUMNS);
  const charts = curves.map((curve, index) => chart(curve, (index % COLUMNS) * WIDTH, 30 + Math.floor(index / COLUMNS) * HEIGHT));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH * COLUMNS} ${30 + rows * HEIGHT}" font-family="system-ui, sans-serif" font-size="11">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    `<text x="${MARGIN}" y="20"><tspan fill="#1d5fbf">limit</tspan>  <tspan fill="#c2541b">queued upstream</tspan>  <tspan fill="#777777">best (dashed)</tspan></text>`,
    ...charts,
    '</svg>',
    '',
  ].join('\n');
}

function chart({ title, minutes, best, curve }: Curve, left: number, top: number): string {
  const most = Math.max(8, ...curve.flatMap(({ minute, limit, queued }) => [limit, queued, best?.(minute) ?? 0]));
  const x = (minute: number) => (left + MARGIN + (minute / minutes) * (WIDTH - MARGIN - 16)).toFixed(1);
  const y = (value: number) => (top + HEIGHT - 28 - (value / most) * (HEIGHT - 56)).toFixed(1);
  const path = (value: (at: Curve['curve'][number]) => number) => curve.map((at) => `${x(at.minute)},${y(value(at))}`).join(' ');
  const line = (points: string, style: string) => `<polyline points="${points}" fill="none" ${style}/>`;
  return [
    `<text x="${left + MARGIN}" y="${top + 14}" font-weight="600">${title}</text>`,
    `<path d="M${x(0)},${y(most)} V${y(0)} H${x(minutes)}" fill="none" stroke="#999999"/>`,
    `<text x="${left + MARGIN - 4}" y="${y(most)}" text-anchor="end" dominant-baseline="middle">${most}</text>`,
    `<text x="${left + MARGIN - 4}" y="${y(0)}" text-anchor="end" dominant-baseline="middle">0</text>`,
    `<text x="${x(minutes)}" y="${top + HEIGHT - 12}" text-anchor="end">${minutes} min</text>`,
    best === null
      ? ''
      : line(
          path(({ minute }) => best(minute)),
          'stroke="#777777" stroke-dasharray="4 3"',
        ),
    line(
      path(({ queued }) => queued),
      'stroke="#c2541b"',
    ),
    line(
      path(({ limit }) => limit),
      'stroke="#1d5fbf" stroke-width="1.5"',
    ),
  ].join('\n');
}
