/*
 * The perf-event ABI as data. Source: perf_event_open(2); Linux, include/uapi/linux/perf_event.h. Checked
 * against the installed headers by the test of the KVM ABI.
 */
import { ioctlNumbers } from './ioctl.ts';
import { struct, u16, u32, u64 } from './layout.ts';

/** `PERF_TYPE_*` */
export const PerfType = { HARDWARE: 0, SOFTWARE: 1 } as const;
/** `PERF_COUNT_HW_*` */
export const PerfHardware = {
  CPU_CYCLES: 0,
  INSTRUCTIONS: 1,
  BRANCH_INSTRUCTIONS: 4,
  BRANCH_MISSES: 5,
} as const;
/** `PERF_COUNT_SW_*` */
export const PerfSoftware = { CPU_CLOCK: 0, TASK_CLOCK: 1, PAGE_FAULTS: 2, CONTEXT_SWITCHES: 3 } as const;

/** `struct perf_event_attr` of version 5 (Linux 4.1), which every kernel with the features here takes. */
export const PerfEventAttr = struct('perf_event_attr', {
  type: u32,
  size: u32,
  config: u64,
  sample_period: u64,
  sample_type: u64,
  read_format: u64,
  /** The bit field that {@link PerfFlag} names. */
  flags: u64,
  wakeup_events: u32,
  bp_type: u32,
  config1: u64,
  config2: u64,
  branch_sample_type: u64,
  sample_regs_user: u64,
  sample_stack_user: u32,
  clockid: u32,
  sample_regs_intr: u64,
  aux_watermark: u32,
  sample_max_stack: u16,
  __reserved_2: u16,
});

/** Bits of the attribute's bit field, by the names of its members. */
export const PerfFlag = {
  disabled: 1 << 0,
  pinned: 1 << 2,
  exclude_user: 1 << 4,
  exclude_kernel: 1 << 5,
  exclude_hv: 1 << 6,
  exclude_host: 1 << 19,
  exclude_guest: 1 << 20,
} as const;

/** `PERF_FLAG_FD_CLOEXEC` */
export const PERF_FLAG_FD_CLOEXEC = 8;

const { io, iow } = ioctlNumbers('$'.charCodeAt(0));

/** `PERF_EVENT_IOC_*` */
export const PerfIoctl = {
  ENABLE: io(0),
  DISABLE: io(1),
  REFRESH: io(2),
  RESET: io(3),
  PERIOD: iow(4, u64),
} as const;
