/**
 * A serial line behind a TCP port of this computer: `nc localhost PORT`. One client at a time; when it leaves, the next
 * one may come. What the guest writes while nobody is there is kept, up to a limit, for the next client.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { errnoOf, reasonFor } from '../../sim/output-file.ts';
import { FatalError } from '../../sim/trouble.ts';
import { BufferedBackend } from './buffered-backend.ts';

const LOCALHOST = '127.0.0.1';
/** Newest output that is kept for a client to come. */
const BACKLOG_BYTES = 65_536;
/** A client that lets so much pile up reads nothing: more is lost. */
const UNREAD_BYTES = 4 * 1024 * 1024;
const BUSY = 'Somebody else is connected to this serial line.\r\n';

export class TcpBackend extends BufferedBackend {
  readonly #server: Server;
  #client: Socket | undefined;
  #backlog = Buffer.alloc(0);
  #greeted: () => void = () => {};

  private constructor(server: Server) {
    super();
    this.#server = server;
    this.openInput();
    server.on('connection', (socket) => this.#welcome(socket));
    server.on('error', (error) => this.trouble(`the serial port's server fails: ${error.message}`));
    // A port that is only listened to keeps no process alive.
    server.unref();
  }

  /**
   * Listens on a port of 127.0.0.1; 0 takes any that is free.
   * @param options wait: until the first client is there
   * @throws FatalError if the port is taken
   */
  static async listen(port: number, { wait = false }: { readonly wait?: boolean } = {}): Promise<TcpBackend> {
    const server = createServer();
    await listening(server, port);
    const backend = new TcpBackend(server);
    if (wait) await backend.#firstClient();
    return backend;
  }

  get port(): number {
    const address = this.#server.address();
    return address !== null && typeof address === 'object' ? address.port : 0;
  }

  protected override send(bytes: Uint8Array): void {
    const client = this.#client;
    if (client === undefined) {
      this.#backlog = Buffer.concat([this.#backlog, bytes]).subarray(-BACKLOG_BYTES);
    } else if (client.writableLength > UNREAD_BYTES) {
      this.trouble(`the client of port ${this.port} does not read: output is lost`);
    } else {
      client.write(Buffer.from(bytes));
    }
  }

  /** What was written last still reaches the client: `end` sends it before it closes. */
  protected override release(): void {
    this.#server.close();
    this.#client?.end();
    this.#client?.unref();
  }

  protected override resumeInput(): void {
    this.#client?.resume();
  }

  async #firstClient(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#greeted = resolve;
    this.#server.ref();
    await promise;
    this.#server.unref();
  }

  #welcome(socket: Socket): void {
    // An error ends in 'close', which is all that matters here.
    socket.on('error', () => {});
    if (this.#client !== undefined) {
      socket.end(BUSY);
      return;
    }
    this.#client = socket;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.#receive(socket, bytes));
    socket.on('close', () => this.#farewell(socket));
    if (this.#backlog.length > 0) socket.write(this.#backlog);
    this.#backlog = Buffer.alloc(0);
    this.#greeted();
  }

  #receive(socket: Socket, bytes: Buffer): void {
    this.pushInput(bytes);
    if (this.isInputFull) socket.pause();
  }

  #farewell(socket: Socket): void {
    if (this.#client === socket) this.#client = undefined;
  }
}

async function listening(server: Server, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(port, LOCALHOST, resolve);
  try {
    await promise;
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    const reason = code === 'EADDRINUSE' ? 'the port is taken; choose another' : reasonFor(code);
    throw new FatalError(`cannot listen on ${LOCALHOST}:${port}: ${reason}`, { cause: error });
  } finally {
    server.off('error', reject);
  }
}
