// What may fail once in the rig, since the processor that QEMU emulates has flaws of its own (docs/rig.md):
//
// - when the host is busy, it now and then delivers an interrupt twice, and the guest's kernel dies of it, under QEMU's own
//   use of KVM as well;
// - it forgets that STI holds interrupts back when an interrupt of the host ends the guest right behind it: an interrupt then
//   comes in one instruction early;
// - when the host is busy, times that a guest measures are not those that it should find.

/** Does it again if it fails; what went wrong is shown. */
export async function inTwoAttempts(what: string, attempt: () => void | Promise<void>): Promise<void> {
  try {
    await attempt();
  } catch (error) {
    console.log(`# ${what}, first attempt: ${error instanceof Error ? error.message : String(error)}`);
    await attempt();
  }
}
