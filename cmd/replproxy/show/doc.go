// Package show prints a proxy's status for a terminal: what "replproxy status" answers and what the
// demo redraws.
//
//	*admin.Status ──► Status: upstream, store, sessions, warnings, standbys, slots
//	              └─► Standbys: the table alone
//
// It is a function of the document, without clock and network, so golden files hold it. Texts that
// clients chose are printed without control characters: an application_name cannot move the cursor.
package show
