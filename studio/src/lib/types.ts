//! What the server says and takes: docs/api.md and /openapi.json.

export type Status = 'queued' | 'in_progress' | 'completed' | 'failed'
export type Kind =
  'create' | 'remix' | 'edit' | 'extension' | 'cut' | 'blend' | 'upscale' | 'storyboard'

export interface Part {
  video: string
  start?: number
  end?: number
  crossfade?: number
}

export type Join = 'extension' | 'conditions' | 'cut'

export interface Video {
  id: string
  object: 'video'
  model: string
  requested_model: string
  status: Status
  progress: number
  created_at: number
  completed_at: number | null
  expires_at: number | null
  expired: boolean
  prompt: string | null
  negative_prompt: string
  size: string
  seconds: string
  kind: Kind
  source_video_id: string | null
  error: { code: string; message: string } | null
  seed: number
  fps: number
  num_frames: number
  steps: number | null
  guidance_scale: number | null
  strength: number | null
  loop: boolean
  inference_time_s: number | null
  peak_memory_mb: number | null
  metadata: Record<string, string>
  // The studio's server adds these.
  title?: string
  favourite?: boolean
  folder?: string
  size_bytes?: number | null
  waits_for?: string[]
  joined_by?: Join | 'crossfade' | null
  upscaled_by?: string | null
  parts?: Part[]
  //! Of a storyboard: what it was joined from, and how each follows the one before.
  cards?: { video: string; joined_by: Join | null }[] | null
  // While it is made, in events.
  stage?: string
  step?: number
  steps_of_stage?: number
  seconds_left?: number | null
  preview?: string | null
}

export type Ability =
  | 'image' | 'needs_image' | 'clip' | 'extend' | 'extend_before' | 'loop' | 'conditions' | 'shots'
  | 'negative_prompt' | 'remix'

export interface Model {
  id: string
  family: string
  aliases: string[]
  dtype: string
  size_multiple: number
  default_size: string
  shapes: { name: string; size: string }[]
  frame_group: number
  frame_offset: number
  default_frames: number
  most_frames: number
  //! That one extension adds at most.
  most_new_frames: number
  fps: number
  most_pixels: number
  default_steps: number | null
  default_guidance: number | null
  can: Partial<Record<Ability, boolean>>
  weights_bytes: number
}

export interface Estimate {
  size: string
  frames: number
  fps: number
  seconds: number
  steps: number
  expected_seconds: number | null
  expected_seconds_from?: string
  peak_bytes: number | null
  memory_bytes: number
  fits: boolean
}

export interface Session {
  name: string
  key_id: string
  scopes: ('create' | 'read' | 'delete' | 'admin')[]
  expires_at: number | null
  server: { version: string; keys_required: boolean; tls: boolean }
}

export interface LibraryPage {
  data: Video[]
  has_more: boolean
  total: number
  folders: { name: string; count: number }[]
}

export interface LibraryQuery {
  q: string
  folder: string
  favourite: boolean
  model: string
  kind: string
  order: 'newest' | 'oldest'
}

export type EdgeKind = 'remix' | 'edit' | 'extension' | 'cut' | 'blend' | 'upscale' | 'again' | 'storyboard' | 'character'
export interface Family {
  root: string
  videos: (Video | { id: string; deleted: true })[]
  edges: { from: string; to: string; kind: EdgeKind }[]
}

//! A body of POST /v1/videos without its uploads; also what a preset keeps.
export interface Settings {
  prompt?: string
  negative_prompt?: string
  model?: string
  size?: string
  num_frames?: number
  fps?: number
  seed?: number
  steps?: number
  guidance_scale?: number
  strength?: number
  loop?: boolean
  //! The video whose settings these were.
  again_of?: string
}

export interface Conversion {
  status: 'making' | 'ready' | 'failed'
  progress: number
  error: { code: string; message: string } | null
}

export interface Preset {
  id: string
  name: string
  settings: Settings
  created_at: number
}

export interface CardBody {
  prompt?: string
  image?: string
  video?: string
  seconds: number
  join: 'auto' | 'cut'
}
export interface StoryboardBody {
  model: string
  size: string
  title?: string
  seed?: number
  cards: CardBody[]
}
export interface StoryboardMade {
  id: string
  video: Video
  cards: { video: Video; joined_by: Join | null }[]
}

export interface Key {
  id: string
  name: string
  note: string
  hint: string
  //! Words with commas.
  scopes: string
  models: string[]
  limits: {
    requests_per_minute: number | null
    max_running: number | null
    max_queued: number | null
    daily_seconds: number | null
    max_priority: number
  }
  created_at: number
  expires_at: number | null
  revoked_at: number | null
  last_used_at: number | null
  usage?: { seconds_today: number; videos: number; seconds: number; bytes: number }
}

export interface Storage {
  place: string
  stored_bytes: number
  quota_bytes: number | null
  retention_seconds: number | null
  database: string
}

export interface AuditEntry {
  sequence: number
  at: number
  action: string
  actor: string
  subject: string
  details: unknown
}
