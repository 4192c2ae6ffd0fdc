// Package realslot deals with the slots that are really on the primary and bear the name of one of
// this proxy's slots: a standby's from before it was moved behind the proxy, which is taken over
// (ruling R16), and mirrors, made so that others find the name there (R18).
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
//  2. A slot that this proxy neither took over nor made is never touched; the mirror of another member's slot
//     is advanced, as that member may be dead, and no more (presence).
//  3. The primary's slot is advanced at most to what this store has flushed, and not before the WAL from
//     the own slot's restart_lsn is here and its xmin is held on the primary by this proxy's feedback.
//  4. The gate is never ahead of what the rule covers, not even when it is made. One that was invalidated is made anew
//     once the rule covers what the primary surely has.
//  5. No server's slots are moved, made or dropped but those of the one that the store is filled from, of
//     the same system and timeline, asked on the session that does it: [Following].
//  6. That a slot was made by this proxy is durable before it is made.
//  7. Each session on the primary lasts for one round of questions, and a server that stops or starts is left alone
//     for a while (ruling R38).
package realslot
