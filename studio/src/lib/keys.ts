import type { Key } from './types'

export const isUsable = (key: Key) => !key.revoked_at && (!key.expires_at || key.expires_at * 1000 > Date.now())
