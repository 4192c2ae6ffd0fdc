// Package realslot deals with the slots on the primary that bear the name of one of this proxy's slots. A standby's
// slot from before it was moved behind the proxy is taken over (ruling R16). Mirrors are made so that others find the
// name there (R18).
//
//	START_REPLICATION SLOT x ──► Find ──► an SQL session ──► pg_replication_slots
//	                               │ not active
//	                               ▼
//	                      slot.Table.Adopt (durable)
//	                               │
//	every few seconds: Run ──► decide ──► advance │ drop │ create │ clear xmin │ place │ forget
//
// A mirror follows the store. [RuleGate] is a slot that the stream itself uses, so that logical walsenders of the
// primary, by synchronized_standby_slots, wait for what the rule covers (R45).
//
// Beside that, [ProxySlot] holds the proxy's own slot while a rule limits what is reported (R8):
//
//	walreceiver ──► ProxySlot.Hold ──► START_REPLICATION without the slot
//	                   └─ every five seconds: advance it to what the store has flushed, or make it anew
//	                   └─ when it changes: have it bear what standbys' slots need (R44), by a walsender of a moment
//
// What holds always:
//
//  1. A slot that is active on the primary is never touched.
//  2. A slot that this proxy neither took over nor made is never touched. The one exception is the mirror of another
//     member's slot: it is advanced, as that member may be dead, and no more is done to it (presence).
//  3. The primary's slot is advanced at most to the end of the WAL that this store has flushed. It is not advanced
//     before the WAL from the restart_lsn of this proxy's slot is here, and the standby's xmin is held on the primary
//     by this proxy's feedback.
//  4. The rule gate is never ahead of what the rule covers, not even when it is made. One that was invalidated is made
//     anew
//     once the rule covers what the primary surely has.
//  5. Slots are moved, made or dropped only on the server that the store is filled from, of the same system and
//     timeline. The session that does it asks for them first: [Following].
//  6. That a slot was made by this proxy is durable before it is made.
//  7. Each session on the primary lasts for one round of questions, and a server that stops or starts is left alone
//     for a while (ruling R38).
package realslot
