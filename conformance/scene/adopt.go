package scene

import ()

const RealSlot = "SELECT active, restart_lsn, xmin FROM pg_replication_slots WHERE slot_name = '"
