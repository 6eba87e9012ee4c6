//! `prax serve` as people start it, with the embedded model and a data folder of its own.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

const program = process.env.PRAX_BINARY ?? resolve('../build/release/apps/prax/prax')
const studio = resolve('dist')

async function freePort(): Promise<number> {
  return new Promise((done) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => done(port))
    })
  })
}

export class Server {
  readonly data = mkdtempSync(join(tmpdir(), 'prax-studio-'))
  url = ''
  //! The address that signs a browser in.
  address = ''
  #port = 0
  #process: ChildProcess | null = null

  constructor(readonly flags: string[] = []) {}

  async start(): Promise<this> {
    this.#port ||= await freePort()
    const log = createWriteStream(join(this.data, 'server.log'), { flags: 'a' })
    const flags = ['serve', '--data', this.data, '--port', String(this.#port), '--studio', studio, ...this.flags]
    this.#process = spawn(program, flags, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#process.stderr!.pipe(log)
    for await (const line of createInterface({ input: this.#process.stdout! })) {
      if (line.startsWith('listening on ')) this.url = line.slice('listening on '.length)
      if (!line.startsWith('studio: ')) continue
      this.address = line.slice('studio: '.length)
      break
    }
    if (!this.address) throw new Error(`prax serve did not say its address; see ${join(this.data, 'server.log')}`)
    return this
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const running = this.#process
    this.#process = null
    if (!running || running.exitCode !== null) return
    await new Promise<void>((done) => {
      running.once('exit', () => done())
      running.kill(signal)
    })
  }

  async end(): Promise<void> {
    await this.stop()
    rmSync(this.data, { recursive: true, force: true })
  }

  key(name: string, scopes = 'create,read,delete'): string {
    const flags = ['keys', 'create', name, '--data', this.data, '--json', '--scopes', scopes]
    return JSON.parse(execFileSync(program, flags, { encoding: 'utf8' })).key
  }
}
