//! What a browser keeps for the user. It may keep nothing (private windows, full disks): then it is forgotten.

export function remembered(name: string, place: 'local' | 'session' = 'local'): string | null {
  try {
    return (place === 'local' ? localStorage : sessionStorage).getItem(`prax.${name}`)
  } catch {
    return null
  }
}

export function remember(name: string, value: string | null, place: 'local' | 'session' = 'local'): void {
  try {
    const storage = place === 'local' ? localStorage : sessionStorage
    if (value === null) storage.removeItem(`prax.${name}`)
    else storage.setItem(`prax.${name}`, value)
  } catch {
    // forgotten, then
  }
}
