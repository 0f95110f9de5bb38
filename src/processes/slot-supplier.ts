import type { ActivitySlotInfo, CustomSlotSupplier, SlotPermit } from '@temporalio/worker';
import type { Intake, Reservation } from '../upstream/admission/intake.ts';

/** Gives Temporal a slot for one more slice only while the upstream's intake has capacity. */
export function createSlotSupplier(intake: Intake): CustomSlotSupplier<ActivitySlotInfo> {
  const reservations = new WeakMap<SlotPermit, Reservation>();

  function permitFor(reservation: Reservation): SlotPermit {
    const permit = {};
    reservations.set(permit, reservation);
    return permit;
  }

  return {
    type: 'custom',
    async reserveSlot(_, signal) {
      return permitFor(await intake.reserve(signal));
    },
    tryReserveSlot() {
      const reservation = intake.reserveNow();
      return reservation === null ? null : permitFor(reservation);
    },
    // When it begins, the slice counts by its lines.
    markSlotUsed: ({ permit }) => reservations.get(permit)?.arrive(),
    releaseSlot: ({ permit }) => reservations.get(permit)?.end(),
  };
}
