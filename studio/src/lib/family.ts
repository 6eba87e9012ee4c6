//! Where the clips of a family tree stand: each one column right of the last that it was made from.

import type { EdgeKind, Family, Video } from './types'

export const nodeWidth = 116
export const nodeHeight = 92
const gapX = 92
const gapY = 20

export interface Node {
  id: string
  video: Video | null
  x: number
  y: number
  how: EdgeKind | null
}
export interface Line {
  from: string
  to: string
  kind: EdgeKind
  path: string
  x: number
  y: number
}

export function layout(family: Family): { nodes: Node[]; edges: Line[]; width: number; height: number } {
  const generation = new Map(family.videos.map((video) => [video.id, 0]))
  const edges = family.edges.filter((edge) => generation.has(edge.from) && generation.has(edge.to))
  // The longest way from an origin; as many rounds as there are clips suffice.
  for (let round = 0, moved = true; moved && round < family.videos.length; round++) {
    moved = false
    for (const edge of edges) {
      const next = generation.get(edge.from)! + 1
      if (generation.get(edge.to)! >= next) continue
      generation.set(edge.to, next)
      moved = true
    }
  }
  const columns: string[][] = []
  for (const [id, column] of generation) (columns[column] ??= []).push(id)
  const tallest = Math.max(1, ...columns.map((column) => column?.length ?? 0))
  const height = tallest * (nodeHeight + gapY) - gapY

  const videos = new Map(family.videos.map((video) => [video.id, video]))
  const nodes = new Map<string, Node>()
  columns.forEach((ids, column) => {
    const top = (height - (ids.length * (nodeHeight + gapY) - gapY)) / 2
    ids.forEach((id, row) => {
      const video = videos.get(id)!
      nodes.set(id, {
        id,
        video: 'deleted' in video ? null : video,
        x: column * (nodeWidth + gapX),
        y: top + row * (nodeHeight + gapY),
        how: edges.find((edge) => edge.to === id)?.kind ?? null,
      })
    })
  })
  const lines = edges.map((edge) => {
    const from = nodes.get(edge.from)!
    const to = nodes.get(edge.to)!
    const x1 = from.x + nodeWidth
    const y1 = from.y + nodeHeight / 2
    const y2 = to.y + nodeHeight / 2
    const middle = (x1 + to.x) / 2
    const path = `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${to.x} ${y2}`
    return { ...edge, path, x: to.x - gapX / 2, y: (y1 + 3 * y2) / 4 - 6 }
  })
  const width = Math.max(1, columns.length) * (nodeWidth + gapX) - gapX
  return { nodes: [...nodes.values()], edges: lines, width, height: Math.max(height, nodeHeight) }
}
