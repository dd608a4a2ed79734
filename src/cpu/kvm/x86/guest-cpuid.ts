// GuestCpuid: the CPUID list of one vCPU as state: a guest has seen it, so a restored one keeps what it was saved with, or
// is refused where the host lacks some of it.

import { hasFeature, physicalAddressBits } from '../../../arch/x86/cpuid.ts';
import type { GuestStateOptions } from '../../../arch/x86/guest-state-rule.ts';
import { KvmCap } from '../../../host/kvm/abi.ts';
import type { CpuidEntry, X86Vcpu } from '../../../host/kvm/vcpu.ts';
import type { ParamValues } from '../../../sim/params.ts';
import {
  asRecord,
  decodeNumber,
  isJsonArray,
  type Json,
  type StateCell,
  StateError,
} from '../../../sim/state.ts';
import { fatal } from '../../../sim/trouble.ts';
import { named } from './cpuid-names.ts';
import { type CpuidPolicy, guestCpuid, ignoredFeatures, lackingFeatures } from './cpuid-policy.ts';
import { chooseFeatures, ON_REQUEST, withoutHidden } from './feature-choice.ts';
import { reachesApicMsrs } from './msr-exits.ts';
import { type UserFeatures, userFeatures } from './user-features.ts';
import type { X86_KVM_CPU_PARAMS, X86KvmCpuWiring } from './x86-kvm-params.ts';

export interface CpuidSetUp {
  /** Simulated per host time, if the TSC follows simulated time. */
  readonly tscFactor: number;
  /** KVM_CAP_TSC_CONTROL. */
  readonly scalesTsc: boolean;
  /** Read back what the vCPU shows. */
  readonly checks: boolean;
  readonly warn: (message: string) => void;
}

export class GuestCpuid implements StateCell {
  readonly #path: string;
  readonly #supported: readonly CpuidEntry[];
  readonly #policy: Omit<CpuidPolicy, 'tscKhz'>;
  #entries: readonly CpuidEntry[] | undefined;
  #userFeatures: UserFeatures | undefined;
  #tscKhz = 0;
  /** A vCPU has it, and it cannot change any more. */
  #isGiven = false;

  /**
   * The CPUID of one CPU.
   * @throws FatalError for features that cannot be chosen
   */
  static of(
    path: string,
    wiring: X86KvmCpuWiring,
    params: Pick<
      ParamValues<typeof X86_KVM_CPU_PARAMS>,
      'apicId' | 'cpuCount' | 'features' | 'showHypervisor'
    >,
    hypervisor: Pick<CpuidPolicy, 'kvmClock' | 'hyperV' | 'invariantTsc'>,
  ): GuestCpuid {
    const { kvm, irqchip, apicTimerKhz } = wiring;
    const { supportedCpuid } = kvm;
    const { apicId, cpuCount, showHypervisor } = params;
    const hasIrqchip = irqchip !== undefined;
    const hasNestedState = kvm.capability(KvmCap.NESTED_STATE) > 0;
    const features = chooseFeatures(path, params.features, { supportedCpuid, hasIrqchip, hasNestedState });
    const policy = {
      ...{ apicId, cpuCount, showHypervisor, ...hypervisor },
      apicMsrs: reachesApicMsrs(wiring),
      features,
      ...(apicTimerKhz === undefined ? {} : { apicTimerKhz }),
    };
    const shown = named(guestCpuid(supportedCpuid, { ...policy, tscKhz: 0 }));
    const missing = features.shown.find((name) => !hasFeature(shown, name));
    if (missing !== undefined)
      fatal(path, `features: +${missing}: this machine decides by other means whether it has it`);
    return new GuestCpuid(path, supportedCpuid, policy);
  }

  /**
   * @param path of the CPU, for messages
   * @param supported KVM_GET_SUPPORTED_CPUID
   */
  constructor(path: string, supported: readonly CpuidEntry[], policy: Omit<CpuidPolicy, 'tscKhz'>) {
    this.#path = path;
    this.#supported = supported;
    this.#policy = policy;
  }

  /** What user code finds enabled: what the host has and nobody has hidden. */
  get userFeatures(): UserFeatures {
    this.#userFeatures ??= userFeatures(
      this.#supported,
      withoutHidden(this.#supported, this.#policy.features ?? { hidden: [] }),
    );
    return this.#userFeatures;
  }

  /** The list, made from the host's unless it was restored. */
  get entries(): readonly CpuidEntry[] {
    this.#entries ??= guestCpuid(this.#supported, { ...this.#policy, tscKhz: this.#tscKhz });
    return this.#entries;
  }

  /**
   * Gives a new vCPU its CPUID, and its TSC the frequency that the guest knows.
   * @returns that frequency in simulated time, in kHz
   */
  giveTo(vcpu: X86Vcpu, { tscFactor, scalesTsc, checks, warn }: CpuidSetUp): number {
    const hostKhz = vcpu.getTscKhz();
    if (this.#tscKhz === 0) this.#tscKhz = hostKhz;
    const wantedKhz = Math.round(this.#tscKhz * tscFactor);
    if (wantedKhz !== hostKhz && scalesTsc) vcpu.setTscKhz(wantedKhz);
    else if (wantedKhz !== hostKhz)
      warn(`this KVM cannot scale the TSC: it runs at ${hostKhz} kHz instead of ${wantedKhz}`);
    vcpu.setCpuid2(this.entries);
    this.#isGiven = true;
    const ignored = checks ? ignoredFeatures(this.entries, vcpu.getCpuid2()) : [];
    if (ignored.length > 0)
      warn(`this KVM shows the guest features that it was not given: ${listed(ignored)}`);
    return this.#tscKhz;
  }

  /** Family, model and stepping: leaf 1 EAX. */
  get signature(): number {
    return this.entries.find((entry) => entry.function === 1)?.eax ?? 0;
  }

  /** Whether the guest sees a feature, by its name in arch/x86/cpuid.ts. */
  shows(feature: string): boolean {
    return hasFeature(named(this.entries), feature);
  }

  /** What the rules of a legal guest state depend on. KVM emulates what the processor cannot enter. */
  get stateOptions(): GuestStateOptions {
    return {
      unrestrictedGuest: true,
      physicalAddressBits: physicalAddressBits(named(this.entries)),
      linearAddressBits: this.shows('la57') ? 57 : 48,
    };
  }

  save(): Json {
    return {
      tscKhz: this.#tscKhz,
      leaves: this.entries.map((e) => [e.function, e.index, e.flags, e.eax, e.ebx, e.ecx, e.edx]),
    };
  }

  restore(saved: Json): void {
    const { tscKhz = null, leaves = null } = asRecord(saved);
    if (!isJsonArray(leaves)) throw new StateError('expected a list of CPUID leaves');
    const entries = leaves.map(decodeLeaf);
    const offered = guestCpuid(this.#supported, {
      ...this.#policy,
      tscKhz: 0,
      features: { shown: ON_REQUEST, hidden: [] },
    });
    const lacking = lackingFeatures(entries, offered);
    if (lacking.length > 0) {
      fatal(
        this.#path,
        `the guest was saved with processor features that this host lacks: ${lacking.join(', ')}; ` +
          'restore it on a host that has them, or on a simulated CPU model',
      );
    }
    const khz = decodeNumber(tscKhz);
    const isOther = khz !== this.#tscKhz || JSON.stringify(entries) !== JSON.stringify(this.entries);
    if (this.#isGiven && isOther)
      fatal(this.#path, 'the guest was saved with another CPUID than this vCPU has: restore it in a new run');
    this.#entries = entries;
    this.#tscKhz = khz;
  }
}

/** A list that fits into a line. */
function listed(names: readonly string[]): string {
  const shown = names.slice(0, 8).join(', ');
  return names.length > 8 ? `${shown} and ${names.length - 8} more` : shown;
}

function decodeLeaf(saved: Json): CpuidEntry {
  if (!isJsonArray(saved) || saved.length !== 7)
    throw new StateError('expected the seven numbers of a CPUID leaf');
  const [leaf, index, flags, eax, ebx, ecx, edx] = saved.map(decodeNumber) as number[];
  return { function: leaf!, index: index!, flags: flags!, eax: eax!, ebx: ebx!, ecx: ecx!, edx: edx! };
}
