// Package keyfile reads private keys and password files by PostgreSQL's rules about who else may read them.
//
//	server's key ──► regular file, owned by root or by us, 0600 (0640 when root's)
//	client's key ──► regular file, 0600 (0640 when root's)
//	passwords ─────► regular file, 0600 (0640 when root's and systemd's credential)
//
// The server's rule is that of ssl_key_file (libpq/be-secure-common.c: check_ssl_key_file_permissions),
// the client's that of libpq's sslkey (fe-secure-openssl.c: initialize_SSL), the last that of libpq's
// passfile (fe-connect.c: passwordFromFile), with their words. The file
// is judged by its open descriptor, so that what is read is what was judged.
package keyfile
