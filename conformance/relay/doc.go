// Package relay tests the relay of clients' sessions, against real servers.
//
//	psql, pgbench, pg_receivewal, pg_basebackup, pg_recvlogical, drivers ──► replproxy ──► primary
//
// Log-ins and who may come in, TLS on both legs, relayed sessions, the replication commands with PostgreSQL's answers
// beside ours, and input that no client should send.
package relay
