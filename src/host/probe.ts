/*
 * What this host offers to the simulator, as data: Node, KVM and its flavour, performance counters, memory.
 * Nothing here prints or fails: what is missing is in the result, with the remedy.
 */
import { existsSync, readFileSync } from 'node:fs';
import { HostError } from './errors.ts';
import { nativeCallsAvailable } from './ffi.ts';
import { KvmCap } from './kvm/abi.ts';
import { KvmSystem } from './kvm/system.ts';
import { isTestedNode, TESTED_NODE } from './node-version.ts';
import { PerfCounter, type PerfEvent, PerfHardware, PerfSoftware, PerfType } from './perf.ts';

/** Something that works, or the reason why it does not and what to do. */
export type Availability = { readonly available: true } | Unavailable;
export interface Unavailable {
  readonly available: false;
  readonly reason: string;
  readonly remedy: string;
}

/**
 * How KVM executes guests: `vmx` and `svm` by the processor's virtualization, `pvm` without it (ring 0 is
 * emulated), `arm64`, or `unknown`.
 */
export type KvmFlavour = 'vmx' | 'svm' | 'pvm' | 'arm64' | 'unknown';

export type KvmProbe =
  | {
      readonly available: true;
      readonly path: string;
      readonly flavour: KvmFlavour;
      /** Value of every capability that is not 0, by its name in `KvmCap`. */
      readonly capabilities: Readonly<Record<string, number>>;
    }
  | Unavailable;

export interface HostProbe {
  readonly node: {
    readonly version: string;
    readonly tested: typeof TESTED_NODE;
    readonly isTested: boolean;
    /** Whether it has `node:ffi`, which KVM needs. */
    readonly nativeCalls: boolean;
  };
  readonly system: { readonly kernel: string; readonly arch: string; readonly isLinux: boolean };
  readonly processor: { readonly model: string; readonly count: number; readonly flags: readonly string[] };
  readonly kvm: KvmProbe;
  readonly perf: {
    /** /proc/sys/kernel/perf_event_paranoid; undefined if the kernel has no performance events. */
    readonly paranoid: number | undefined;
    readonly hardware: Availability;
    readonly software: Availability;
  };
  readonly memory: {
    readonly totalBytes: number;
    readonly availableBytes: number;
    /** Transparent huge pages; undefined if the kernel has none. */
    readonly hugePages: 'always' | 'madvise' | 'never' | undefined;
  };
}

/** What the probe asks, so that tests can answer. */
export interface ProbeSources {
  /** Text of a file; undefined if it cannot be read. */
  readText(path: string): string | undefined;
  exists(path: string): boolean;
  /** Capabilities of KVM. @throws HostError */
  kvmCapabilities(path: string): Readonly<Record<string, number>>;
  /** Opens and closes a counter. @throws HostError */
  tryCounter(event: PerfEvent): void;
  readonly nodeVersion: string;
  readonly nativeCalls: boolean;
  readonly platform: string;
  readonly arch: string;
}

/** The host that this process runs on. */
export function hostSources(): ProbeSources {
  return {
    readText,
    exists: existsSync,
    kvmCapabilities,
    tryCounter: (event) => PerfCounter.open(event).close(),
    nodeVersion: process.version,
    nativeCalls: nativeCallsAvailable(),
    platform: process.platform,
    arch: process.arch,
  };
}

/** Looks at everything. Takes a few milliseconds. */
export function probeHost(sources: ProbeSources = hostSources(), kvmPath = '/dev/kvm'): HostProbe {
  const cpuinfo = sources.readText('/proc/cpuinfo') ?? '';
  const flags = field(cpuinfo, 'flags|Features')?.split(/\s+/) ?? [];
  const paranoid = sources.readText('/proc/sys/kernel/perf_event_paranoid');
  return {
    node: {
      version: sources.nodeVersion,
      tested: TESTED_NODE,
      isTested: isTestedNode(sources.nodeVersion),
      nativeCalls: sources.nativeCalls,
    },
    system: {
      kernel: sources.readText('/proc/sys/kernel/osrelease')?.trim() ?? 'unknown',
      arch: sources.arch,
      isLinux: sources.platform === 'linux',
    },
    processor: {
      model: field(cpuinfo, 'model name') ?? 'unknown',
      count: (cpuinfo.match(/^processor\s*:/gm) ?? []).length,
      flags,
    },
    kvm: probeKvm(sources, flags, kvmPath),
    perf: {
      paranoid: paranoid === undefined ? undefined : Number(paranoid),
      hardware: probeCounter(sources, { type: PerfType.HARDWARE, config: PerfHardware.CPU_CYCLES }),
      software: probeCounter(sources, { type: PerfType.SOFTWARE, config: PerfSoftware.TASK_CLOCK }),
    },
    memory: probeMemory(sources),
  };
}

function probeKvm(sources: ProbeSources, flags: readonly string[], path: string): KvmProbe {
  const result = attempt(sources, () => sources.kvmCapabilities(path));
  if (!('value' in result)) return result;
  return { available: true, path, flavour: flavourOf(sources, flags), capabilities: result.value };
}

function probeCounter(sources: ProbeSources, event: PerfEvent): Availability {
  const result = attempt(sources, () => sources.tryCounter(event));
  return 'value' in result ? { available: true } : result;
}

function attempt<T>(sources: ProbeSources, action: () => T): { readonly value: T } | Unavailable {
  if (sources.platform !== 'linux') {
    return { available: false, reason: `${sources.platform} is not Linux`, remedy: 'use a Linux host' };
  }
  if (!sources.nativeCalls) {
    const remedy = `run with Node ${TESTED_NODE.min} or later, below ${TESTED_NODE.below}`;
    return { available: false, reason: `Node ${sources.nodeVersion} cannot call native code`, remedy };
  }
  try {
    return { value: action() };
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    return { available: false, reason: `${error.call}: ${error.code}`, remedy: error.remedy };
  }
}

/** The module that is loaded says it; where KVM is built in, the processor's flags do. */
function flavourOf(sources: ProbeSources, flags: readonly string[]): KvmFlavour {
  if (sources.arch === 'arm64') return 'arm64';
  if (sources.exists('/sys/module/kvm_pvm')) return 'pvm';
  if (sources.exists('/sys/module/kvm_intel')) return 'vmx';
  if (sources.exists('/sys/module/kvm_amd')) return 'svm';
  if (flags.includes('vmx')) return 'vmx';
  return flags.includes('svm') ? 'svm' : 'unknown';
}

function probeMemory(sources: ProbeSources): HostProbe['memory'] {
  const meminfo = sources.readText('/proc/meminfo') ?? '';
  const kilobytes = (name: string) => Number.parseInt(field(meminfo, name) ?? '0', 10) * 1024;
  const hugePages = sources.readText('/sys/kernel/mm/transparent_hugepage/enabled');
  return {
    totalBytes: kilobytes('MemTotal'),
    availableBytes: kilobytes('MemAvailable'),
    hugePages: /\[(always|madvise|never)\]/.exec(hugePages ?? '')?.[1] as HostProbe['memory']['hugePages'],
  };
}

/** The first value of a `name : value` line. */
function field(text: string, names: string): string | undefined {
  return new RegExp(`^(?:${names})\\s*:\\s*(.*)$`, 'm').exec(text)?.[1]?.trim();
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    // A file that is not there or not readable is an answer here, whatever the reason.
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}

function kvmCapabilities(path: string): Readonly<Record<string, number>> {
  const kvm = KvmSystem.open(path);
  try {
    const all = Object.entries(KvmCap).map(([name, cap]) => [name, kvm.checkExtension(cap)] as const);
    return Object.fromEntries(all.filter(([, value]) => value !== 0));
  } finally {
    kvm.close();
  }
}
