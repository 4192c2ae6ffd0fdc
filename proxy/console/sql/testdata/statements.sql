# One statement a line, with \bind and its parameters as psql has them. TestDifferential runs them here and on servers.
SELECT 1
SELECT 1, 2.50, 'x', NULL, true, false, -5, +7, 5000000000, 99999999999999999999, 1e3, .5, 5.
SELECT -2147483648, -9223372036854775808, - 5, -(-5), -(2147483647)
SELECT 1 AS a, 2 b, 3 AS "B c", 4 AS select
SELECT 'it''s', 'ä€', ''
SELECT "pid", "application_name" FROM "pg_stat_replication"
select PID from PG_STAT_REPLICATION
SELECT * FROM pg_stat_replication
SELECT r.* FROM pg_stat_replication r
SELECT r.*, r.pid FROM pg_stat_replication AS r
SELECT pg_stat_replication.pid FROM pg_stat_replication
SELECT pid FROM pg_stat_replication r WHERE r.pid = 104
SELECT /* a /* nested */ comment */ pid -- and another
SELECT pid FROM pg_stat_replication -- to the end
SELECT * FROM pg_replication_slots ORDER BY slot_name
SELECT pid, application_name, state FROM pg_stat_replication WHERE state = 'streaming' ORDER BY 2
SELECT pid FROM pg_stat_replication WHERE state <> 'streaming' OR state IS NULL ORDER BY pid
SELECT pid FROM pg_stat_replication WHERE state != 'streaming'
SELECT pid FROM pg_stat_replication WHERE NOT state = 'streaming'
SELECT pid FROM pg_stat_replication WHERE NOT (pid > 102 AND pid < 104)
SELECT pid FROM pg_stat_replication WHERE pid >= 102 AND pid <= 104 ORDER BY pid DESC
SELECT pid FROM pg_stat_replication WHERE pid BETWEEN 102 AND 104 ORDER BY pid DESC
SELECT pid FROM pg_stat_replication WHERE pid NOT BETWEEN 102 AND 104 ORDER BY pid DESC
SELECT pid FROM pg_stat_replication WHERE pid = '102'
SELECT pid FROM pg_stat_replication WHERE pid = 'x'
SELECT pid FROM pg_stat_replication WHERE pid = 102.0
SELECT pid FROM pg_stat_replication WHERE pid = 102.5
SELECT pid FROM pg_stat_replication WHERE pid = 5000000000
SELECT pid FROM pg_stat_replication WHERE pid = NULL
SELECT pid FROM pg_stat_replication WHERE NULL
SELECT pid FROM pg_stat_replication WHERE 'true' ORDER BY 1
SELECT pid FROM pg_stat_replication WHERE 'maybe'
SELECT pid FROM pg_stat_replication WHERE pid
SELECT pid FROM pg_stat_replication WHERE 1
SELECT pid FROM pg_stat_replication WHERE pid AND true
SELECT pid FROM pg_stat_replication WHERE NOT pid
SELECT pid FROM pg_stat_replication WHERE application_name = 5
SELECT pid FROM pg_stat_replication WHERE usename = 5
SELECT pid FROM pg_stat_replication WHERE client_addr = application_name
SELECT pid FROM pg_stat_replication WHERE sent_lsn = 5
SELECT pid FROM pg_stat_replication WHERE pid < state
SELECT pid FROM pg_stat_replication WHERE usename = 'repl' ORDER BY pid
SELECT pid FROM pg_stat_replication WHERE usename = application_name ORDER BY pid
SELECT usename || '/' || application_name FROM pg_stat_replication ORDER BY pid
SELECT pid || ':' || state, 'x' || pid, pid || 'x', usename || usename, true || 'x', client_addr || '' FROM pg_stat_replication ORDER BY pid
SELECT 'a' || 'b', 'a' || NULL, NULL || NULL
SELECT 1 || 2
SELECT application_name LIKE 's%', application_name NOT LIKE '%1', application_name ILIKE 'S_', usename LIKE 'rep%' FROM pg_stat_replication ORDER BY pid
SELECT 'abc' LIKE 'a%c', 'abc' LIKE 'a_', 'a%c' LIKE 'a\%c', 'abc' LIKE 'a\%c', '' LIKE '%', '' LIKE '_', 'aXbXc' LIKE '%X%X%', 'äb' LIKE '_b', 'aaa' LIKE '%aa', 'ab' LIKE 'abc'
SELECT 'ABC' ILIKE 'abc', 'abc' NOT ILIKE 'A%', 'x' LIKE NULL, NULL LIKE 'x'
SELECT 'abc' ~~ 'a%', 'abc' !~~ 'a%', 'abc' ~~* 'A%'
SELECT 'a' LIKE 'a\'
SELECT 'ab' LIKE 'a\'
SELECT 'b' LIKE 'a\', '' LIKE '%\'
SELECT 'b' LIKE '%\'
SELECT application_name LIKE '_\' FROM pg_stat_replication
SELECT true AND FROM pg_stat_replication
SELECT pid IN FROM pg_stat_replication
SELECT 1 LIKE 'x'
SELECT pid LIKE '1%' FROM pg_stat_replication
SELECT 'a' LIKE 'b' ESCAPE 'x'
SELECT 'abc' ~ 'b'
SELECT pid FROM pg_stat_replication WHERE pid IN (101, 103, 99) ORDER BY pid
SELECT pid FROM pg_stat_replication WHERE pid NOT IN (101, 103) ORDER BY pid
SELECT pid FROM pg_stat_replication WHERE pid NOT IN (101, NULL) ORDER BY pid
SELECT pid FROM pg_stat_replication WHERE state IN ('streaming', 'catchup') ORDER BY pid
SELECT pid FROM pg_stat_replication WHERE usename IN ('repl') ORDER BY pid
SELECT pid FROM pg_stat_replication WHERE usename IN ('repl', application_name) ORDER BY pid
SELECT pid FROM pg_stat_replication WHERE pid IN ('101', 102.5)
SELECT pid FROM pg_stat_replication WHERE pid IN (101, sync_priority, 5000000000) ORDER BY pid
SELECT pid FROM pg_stat_replication WHERE pid IN ('x', 'y')
SELECT pid FROM pg_stat_replication WHERE pid IN (101, 'x')
SELECT pid FROM pg_stat_replication WHERE pid IN (101, true)
SELECT pid FROM pg_stat_replication WHERE pid IN ()
SELECT pid FROM pg_stat_replication WHERE pid IN (SELECT 1)
SELECT 1 IN (1, 2), 1 IN (2, NULL), NULL IN (1), 1 NOT IN (2, NULL), 'a' IN ('a')
SELECT pid, client_addr IS NULL, client_addr IS NOT NULL, client_addr ISNULL, state NOTNULL FROM pg_stat_replication ORDER BY pid
SELECT active IS TRUE, active IS NOT TRUE, active IS FALSE, active IS NOT FALSE, active IS UNKNOWN, active IS NOT UNKNOWN FROM pg_replication_slots ORDER BY slot_name
SELECT pid IS TRUE FROM pg_stat_replication
SELECT NULL IS NULL, NULL IS NOT NULL, 1 IS NULL, 'x' IS NOT NULL, NULL IS TRUE, NULL IS UNKNOWN
SELECT 1 IS DISTINCT FROM 2, 1 IS DISTINCT FROM NULL, NULL IS DISTINCT FROM NULL, 1 IS NOT DISTINCT FROM 1, NULL IS NOT DISTINCT FROM 1
SELECT pid IS DISTINCT FROM sync_priority, state IS DISTINCT FROM 'streaming' FROM pg_stat_replication ORDER BY pid
SELECT 1 IS NULL IS NULL
SELECT 1 < 2 < 3
SELECT 1 = 1 = true
SELECT 1 < 2 = true
SELECT true AND NULL, false AND NULL, NULL AND true, NULL AND false, true OR NULL, false OR NULL, NULL OR true, NULL OR false, NOT NULL
SELECT true AND false OR true, true OR true AND false, NOT true OR true, NOT (true OR true)
SELECT 1 = 1 AND 2 = 2, 1 + 2 = 3, NOT 1 = 2, 2 + 3 * 4, (2 + 3) * 4, 10 - 3 - 2, 100 / 10 / 2, 7 % 4, -7 % 4, -7 / 2
SELECT 2147483647 + 1
SELECT 2147483647 + 1::bigint
SELECT 9223372036854775807 + 1
SELECT 2147483647 * 2
SELECT -2147483648 / -1
SELECT 1 / 0
SELECT 1 / 0 FROM pg_stat_replication WHERE false
SELECT pid / (pid - 101) FROM pg_stat_replication
SELECT 1.0 / 0
SELECT 5 % 0
SELECT 1.0 / 3, 10 / 4.0, 1 / 3.0, 2.0 / 3, 1000000.0 / 7, 0.001 / 7, 0 / 3.0, 12345678901234567890 / 7, 100.00 / 8, 1e-10 / 3, 5 / 0.3, 9999.0 / 10000
SELECT 1.50 + 1, 1.5 - 0.25, 1.5 * 1.5, 7.5 % 2, -1.5 % 1, 0.1 + 0.2, 1.10 * 100, -0.0, 1.0 = 1, 1.50 > 1.5
SELECT 1::float8 / 3, 0.1::float8 + 0.2::float8, 1e15::float8, 1e14::float8, 123456789012345678::float8, 0.0001::float8, 0.00001::float8, -0.5::float8, 1e300::float8 * 10, 100::float
SELECT 1::float8 / 0
SELECT 1e308::float8 * 10
SELECT 3::float8 % 2
SELECT 2.5::int, 3.5::int, -2.5::int, 2.5::float8::int, 3.5::float8::int, 0.49::int8, '7'::int + 1
SELECT 5000000000::int
SELECT 1e20::bigint
SELECT '12x'::int
SELECT ''::int
SELECT ' 12 '::int, '+5'::int8, '-5'::int4
SELECT '99999999999'::int
SELECT 'x'::pg_lsn
SELECT '0/0'::pg_lsn, pg_lsn '16/B374D848', CAST('1/2' AS pg_lsn), pg_lsn('A/b'), '0/0'::pg_catalog.pg_lsn
SELECT ' 0/0'::pg_lsn
SELECT 't'::bool, 'yes'::bool, 'off'::boolean, ' TRUE '::bool, 'n'::bool, '1'::bool
SELECT 'o'::bool
SELECT ''::bool
SELECT 1::bool, 0::bool, true::int, true::text, false::text
SELECT true::bigint
SELECT 5::pg_lsn
SELECT sent_lsn::int FROM pg_stat_replication
SELECT now()::int
SELECT pid::text, pid::int8, pid::numeric, pid::float8, pid::oid, usename::text, sent_lsn::text, client_addr::text, state::name FROM pg_stat_replication ORDER BY pid
SELECT pid::bigint AS n, (pid + 1)::text, (CASE WHEN pid > 1 THEN 1 END)::text, coalesce(pid, 1)::int8, now()::text IS NULL FROM pg_stat_replication ORDER BY pid
SELECT CAST(pid AS text), CAST(1 AS bigint), CAST('x' AS text), 'x'::text, 1::text, 'x'::name::text FROM pg_stat_replication ORDER BY pid
SELECT '10.0.0.1'::inet, '10.0.0.1/8'::inet, '10.0.0.1/32'::inet, 'fe80::1'::inet, '2001:db8::/32'::inet, '10.0.0.1'::inet::text, '10.0.0.0/8'::inet::text, '::1'::inet
SELECT '10.0.0.1'::inet < '10.0.0.2', '10.0.0.0/8'::inet < '10.0.0.1', '10.0.0.1'::inet < '::1', '10.0.0.1'::inet = '10.0.0.1/32', '10.0.0.0/16'::inet > '10.0.0.0/8'
SELECT 'x.y'::inet
SELECT '10.0.0.1/33'::inet
SELECT client_addr FROM pg_stat_replication WHERE client_addr = '10.0.0.2'
SELECT client_addr FROM pg_stat_replication ORDER BY client_addr
SELECT client_addr FROM pg_stat_replication ORDER BY client_addr DESC
SELECT pid, flush_lag FROM pg_stat_replication ORDER BY flush_lag, pid
SELECT pid, flush_lag FROM pg_stat_replication ORDER BY flush_lag DESC, pid
SELECT pid, flush_lag FROM pg_stat_replication ORDER BY flush_lag NULLS FIRST, pid
SELECT pid, flush_lag FROM pg_stat_replication ORDER BY flush_lag DESC NULLS LAST, pid ASC
SELECT pid, state FROM pg_stat_replication ORDER BY state, pid DESC
SELECT pid, state FROM pg_stat_replication ORDER BY state = 'streaming', pid
SELECT pid AS state, state AS x FROM pg_stat_replication ORDER BY state
SELECT pid, pid FROM pg_stat_replication ORDER BY pid
SELECT pid AS a, sync_priority AS a FROM pg_stat_replication ORDER BY a
SELECT pid FROM pg_stat_replication ORDER BY 2
SELECT pid FROM pg_stat_replication ORDER BY 0
SELECT pid FROM pg_stat_replication ORDER BY -1
SELECT pid FROM pg_stat_replication ORDER BY 1.5
SELECT pid FROM pg_stat_replication ORDER BY 'x'
SELECT pid FROM pg_stat_replication ORDER BY NULL
SELECT pid FROM pg_stat_replication ORDER BY nope
SELECT pid FROM pg_stat_replication ORDER BY backend_xmin
SELECT pid + 1 AS next FROM pg_stat_replication ORDER BY next + 1
SELECT pid FROM pg_stat_replication ORDER BY -pid
SELECT pid FROM pg_stat_replication ORDER BY pid LIMIT 2
SELECT pid FROM pg_stat_replication ORDER BY pid LIMIT 2 OFFSET 1
SELECT pid FROM pg_stat_replication ORDER BY pid OFFSET 1 LIMIT 2
SELECT pid FROM pg_stat_replication ORDER BY pid OFFSET 3 ROWS
SELECT pid FROM pg_stat_replication ORDER BY pid LIMIT ALL OFFSET 0
SELECT pid FROM pg_stat_replication ORDER BY pid LIMIT NULL
SELECT pid FROM pg_stat_replication ORDER BY pid LIMIT '2'
SELECT pid FROM pg_stat_replication ORDER BY pid LIMIT 1.5
SELECT pid FROM pg_stat_replication ORDER BY pid LIMIT 1 + 1
SELECT pid FROM pg_stat_replication ORDER BY pid LIMIT 0
SELECT pid FROM pg_stat_replication ORDER BY pid LIMIT -1
SELECT pid FROM pg_stat_replication ORDER BY pid OFFSET -1
SELECT pid FROM pg_stat_replication ORDER BY pid LIMIT pid
SELECT pid FROM pg_stat_replication ORDER BY pid LIMIT true
SELECT pid FROM pg_stat_replication LIMIT count(*)
SELECT pid FROM pg_stat_replication LIMIT 1, 2
SELECT count(*) FROM pg_stat_replication
SELECT count(*), count(client_addr), count(state), min(pid), max(pid), sum(pid) FROM pg_stat_replication
SELECT count(*) AS n FROM pg_stat_replication WHERE state = 'streaming'
SELECT count(*) FROM pg_stat_replication WHERE false
SELECT min(pid), max(state), sum(pid), count(pid) FROM pg_stat_replication WHERE false
SELECT min(usename), max(application_name), min(flush_lag), max(backend_start), min(sent_lsn), max(client_addr) FROM pg_stat_replication
SELECT sum(flush_lag), sum(safe_wal_size) FROM pg_replication_slots
SELECT sum(flush_lag), sum(sync_priority), sum(pid::int8), sum(pid::numeric), sum(pid * 1.5), sum(pid::float8) FROM pg_stat_replication
SELECT sum(safe_wal_size), max(safe_wal_size), min(slot_name), count(restart_lsn) FROM pg_replication_slots
SELECT max(pid) - min(pid), count(*) + 1, count(*)::text || ' rows' FROM pg_stat_replication
SELECT max(pg_wal_lsn_diff(sent_lsn, replay_lsn)) FROM pg_stat_replication
SELECT count(*) FROM pg_stat_replication ORDER BY 1 LIMIT 1
SELECT count(*) FROM pg_stat_replication OFFSET 1
SELECT count(*)
SELECT pid, count(*) FROM pg_stat_replication
SELECT count(*) FROM pg_stat_replication ORDER BY pid
SELECT r.state, count(*) FROM pg_stat_replication r
SELECT max(count(*)) FROM pg_stat_replication
SELECT pid FROM pg_stat_replication WHERE count(*) > 1
SELECT min(active) FROM pg_replication_slots
SELECT sum(state) FROM pg_stat_replication
SELECT max(xmin) FROM pg_replication_slots
SELECT sum(*) FROM pg_stat_replication
SELECT count() FROM pg_stat_replication
SELECT count(DISTINCT state) FROM pg_stat_replication
SELECT count(*) FILTER (WHERE pid > 1) FROM pg_stat_replication
SELECT count(*) OVER () FROM pg_stat_replication
SELECT sent_lsn - replay_lsn, sent_lsn - '0/0', '1/0' - sent_lsn, pg_wal_lsn_diff(sent_lsn, replay_lsn), pg_wal_lsn_diff(sent_lsn, '0/0') FROM pg_stat_replication ORDER BY pid
SELECT pg_wal_lsn_diff('0/10', '0/20'), '0/10'::pg_lsn + 16, '0/10'::pg_lsn - 15, 16 + '0/10'::pg_lsn, '0/10'::pg_lsn + 1.5, '0/10'::pg_lsn + '7'
SELECT '0/10'::pg_lsn - 17
SELECT '0/10'::pg_lsn + sent_lsn FROM pg_stat_replication
SELECT '0/10'::pg_lsn * 2
SELECT (sent_lsn - flush_lsn) / 1024 FROM pg_stat_replication ORDER BY pid
SELECT pid, pg_wal_lsn_diff(sent_lsn, replay_lsn) / 1024 / 1024 AS mb FROM pg_stat_replication ORDER BY pid
SELECT pid FROM pg_stat_replication WHERE sent_lsn > '0/3000000' ORDER BY pid
SELECT pid FROM pg_stat_replication WHERE sent_lsn > flush_lsn AND pg_wal_lsn_diff(sent_lsn, flush_lsn) > 100 ORDER BY pid
SELECT greatest(sent_lsn, '0/3000100'), least(pid, 102), greatest(NULL, 1), least(1, 2.5), greatest('a', 'b') FROM pg_stat_replication ORDER BY pid
SELECT coalesce(client_addr, '127.0.0.1'), coalesce(state, 'none'), coalesce(NULL, NULL, 3), coalesce(NULL, 'x'), coalesce(pid, 1.5), coalesce(usename, state), coalesce(state, usename) FROM pg_stat_replication ORDER BY pid
SELECT coalesce(1, 'x')
SELECT coalesce(1, true)
SELECT coalesce(pid, state) FROM pg_stat_replication
SELECT coalesce(NULL)
SELECT nullif(1, 1), nullif(1, 2), nullif(pid, 102), nullif(state, 'streaming'), nullif(1, 2.0), nullif(usename, 'x') FROM pg_stat_replication ORDER BY pid
SELECT nullif('a', 'b'), nullif(NULL, 1), nullif(1, 5000000000)
SELECT nullif(1, 'x')
SELECT CASE WHEN pid > 102 THEN 'high' WHEN pid = 102 THEN 'mid' ELSE 'low' END FROM pg_stat_replication ORDER BY pid
SELECT CASE state WHEN 'streaming' THEN 1 WHEN 'catchup' THEN 2 END AS code FROM pg_stat_replication ORDER BY pid
SELECT CASE WHEN true THEN 1 ELSE 2.5 END, CASE WHEN false THEN 1 END, CASE WHEN NULL THEN 'a' ELSE 'b' END, CASE 1 WHEN 1 THEN true END, CASE WHEN true THEN NULL ELSE 5 END
SELECT CASE WHEN true THEN 1 ELSE 'x' END
SELECT CASE WHEN true THEN 1 ELSE state END FROM pg_stat_replication
SELECT CASE WHEN 1 THEN 2 END
SELECT CASE 1 WHEN 'x' THEN 2 END
SELECT CASE WHEN true THEN pid ELSE usename END FROM pg_stat_replication
SELECT CASE pid WHEN 101 THEN state ELSE application_name END, CASE WHEN pid = 101 THEN usename ELSE state END FROM pg_stat_replication ORDER BY pid
SELECT CASE END
SELECT CASE WHEN true THEN 1
SELECT CASE WHEN pid = 101 THEN 1 ELSE 1 / 0 END FROM pg_stat_replication
SELECT extract(epoch FROM flush_lag), extract(epoch FROM now() - backend_start) > 0, EXTRACT(EPOCH FROM backend_start) FROM pg_stat_replication ORDER BY pid
SELECT extract('epoch' FROM interval '1 day 2 hours'), extract(epoch FROM '1 mon'::interval), extract(epoch FROM '1 year 2 mons'::interval), extract(epoch FROM '-00:00:01.5'::interval)
SELECT extract(epoch FROM 5)
SELECT extract(epoch FROM state) FROM pg_stat_replication
SELECT extract(day FROM now())
SELECT now() - backend_start > '1 second', backend_start + '1 hour', backend_start - interval '1 day', backend_start + interval '1 month', interval '1 hour' + backend_start FROM pg_stat_replication ORDER BY pid
SELECT backend_start - '2026-01-01 00:00:00+00', reply_time - backend_start, backend_start - reply_time FROM pg_stat_replication ORDER BY pid
SELECT backend_start, backend_start::text, backend_start = '2026-08-01 12:00:00.5+00', backend_start > '2026-08-01' FROM pg_stat_replication ORDER BY pid
SELECT '2026-01-31 10:00:00+00'::timestamptz + '1 mon'::interval, timestamptz '2026-01-01T00:00:00Z', '2026-06-01 12:30+02'::timestamptz, '2024-02-29'::timestamptz - interval '1 year', '2026-01-01 00:00:00.123456+05:30'::timestamptz
SELECT '2026-02-31'::timestamptz
SELECT 'yesterday-ish'::timestamptz
SELECT now() = now(), now() IS NULL, current_timestamp = now(), pg_catalog.now() - now()
SELECT now() + 1
SELECT now() + now()
SELECT interval '1 hour', '1 day'::interval, '01:02:03.5'::interval, '-01:02:03'::interval, '1 year 2 mons 3 days 04:05:06'::interval, '2 weeks'::interval, '90 min'::interval, '0'::interval, '-1 day 01:00:00'::interval, '25:00:00'::interval
SELECT '1 day'::interval + '1 hour', '1 hour'::interval - '1 day'::interval, '1 mon'::interval = '30 days', '24:00:00'::interval = '1 day', '-1 mon'::interval + '1 day', '-1 day'::interval + '00:00:01'
SELECT '1 fortnight'::interval
SELECT ''::interval
SELECT flush_lag > '00:00:00.1', flush_lag::text, flush_lag + write_lag FROM pg_stat_replication ORDER BY pid
SELECT version() LIKE 'PostgreSQL%', pg_is_in_recovery(), current_database(), current_user, session_user, user, pg_backend_pid() > 0
SELECT current_setting('server_version_num')::int > 140000, current_setting('no.such', true), current_setting('server_encoding')
SELECT current_setting('no_such')
SELECT current_setting('no_such') FROM pg_stat_replication WHERE false
SELECT current_setting(NULL), current_setting(NULL, true)
SELECT pg_is_in_recovery() AS x, CASE pg_is_in_recovery() WHEN 't' THEN 1 ELSE 0 END
SELECT backend_xmin, backend_xmin IS NULL, backend_xmin = 700, backend_xmin = '700', backend_xmin::text FROM pg_stat_replication ORDER BY pid
SELECT backend_xmin > 5 FROM pg_stat_replication
SELECT usesysid, usesysid = 10, usesysid > 5, usesysid::int8, usesysid::int, usesysid::text FROM pg_stat_replication ORDER BY pid
SELECT usesysid = 5000000000 FROM pg_stat_replication
SELECT usesysid + 1 FROM pg_stat_replication
SELECT nope FROM pg_stat_replication
SELECT r.nope FROM pg_stat_replication r
SELECT x.pid FROM pg_stat_replication r
SELECT pg_stat_replication.pid FROM pg_stat_replication r
SELECT nope
SELECT pid
SELECT x.pid
SELECT x.*
SELECT *
SELECT * FROM nope
SELECT * FROM nope.nope
SELECT * FROM pg_stat_replication, pg_replication_slots
SELECT * FROM pg_stat_replication JOIN pg_replication_slots ON true
SELECT * FROM (SELECT 1) x
SELECT r FROM pg_stat_replication r
SELECT DISTINCT state FROM pg_stat_replication
SELECT state FROM pg_stat_replication GROUP BY state
SELECT state FROM pg_stat_replication UNION SELECT 'x'
SELECT pid FROM pg_stat_replication FETCH FIRST 1 ROW ONLY
SELECT pid FROM pg_stat_replication FOR UPDATE
SELECT (SELECT 1)
SELECT EXISTS (SELECT 1)
SELECT ARRAY[1, 2]
SELECT (1, 2)
SELECT ROW(1)
SELECT 'a' COLLATE "C"
SELECT now() AT TIME ZONE 'UTC'
SELECT upper('x')
SELECT nosuchfunction(1)
SELECT nosuchfunction()
SELECT 2 ^ 3
SELECT @ -5
SELECT 5 & 3
SELECT '1'::numeric(5,2)
SELECT 'x'::varchar
SELECT 'x'::nosuchtype
SELECT '{1}'::int[]
SELECT 0x10
SELECT 1_000
SELECT 12abc
SELECT E'a\n'
SELECT $$x$$
SELECT 'a' 'b'
SELECT -'5'
SELECT '5' + '6'
SELECT FROM pg_stat_replication
SELECT ,
SELECT 1 +
SELECT 1 FROM
SELECT 1 FROM pg_stat_replication WHERE
SELECT 1 FROM pg_stat_replication ORDER
SELECT 1 FROM pg_stat_replication ORDER BY
SELECT 1 FROM pg_stat_replication LIMIT
SELECT (1
SELECT 1)
SELECT 1 2
SELECT 1 AS
SELECT 'open
SELECT "open
SELECT ""
SELECT 1 /* open
SELECT pid FROM pg_stat_replication WHERE state = "streaming"
SELECT pid pid2 FROM pg_stat_replication r2 ORDER BY pid2
SELECT pid year FROM pg_stat_replication
SELECT pid order FROM pg_stat_replication
SELECT order FROM pg_stat_replication
SELECT pid FROM order
SELECT pid IS FROM pg_stat_replication
SELECT pid LIKE FROM pg_stat_replication
SELECT pid FROM pg_stat_replication WHERE pid = = 1
SELECT 1 =- 1, 2 <- 1, 1 !=-1, 3+-2, 3--2
SELECT 1 <> 2, 1 != 2, 2 >= 1, 1 <= 1
SELECT 'a' < 'b', 'B' < 'a', 'ä' > 'z', '' < 'a', 'a' = 'a '
SELECT $1 \bind x
SELECT $1::int + 1 \bind 41
SELECT $1::text, $2::pg_lsn, $3::bool, $4::timestamptz, $5::interval, $6::inet, $7::numeric, $8::int8, $9::float8, $10::name \bind x 1/A t 2026-01-01 '1 day' 10.0.0.1 1.50 7 0.5 n
SELECT pid FROM pg_stat_replication WHERE pid = $1 \bind 102
SELECT pid FROM pg_stat_replication WHERE application_name = $1 AND pid > $2 ORDER BY pid LIMIT $3 \bind s1 0 1
SELECT pid FROM pg_stat_replication WHERE pid = $1 \bind x
SELECT pid FROM pg_stat_replication WHERE pid = $1 OR sync_priority = $1 ORDER BY pid \bind 102
SELECT pid FROM pg_stat_replication WHERE pid IN ($1, $2) ORDER BY pid \bind 101 103
SELECT coalesce($1, 5), $2 || 'x', $3 IS NOT NULL AND $3::int > 1 \bind 4 a 2
SELECT $2 \bind a b
SELECT $1 IS NULL \bind a
SELECT $1 = $1 \bind a
SELECT $1 + $2 \bind 1 2
SELECT $1 + 1, $1 \bind 1
SELECT $1::int, $1::text \bind 1
SELECT sent_lsn > $1, sent_lsn - $2 FROM pg_stat_replication ORDER BY pid \bind 0/3000000 0/0
SELECT now() - $1 > $2 \bind 2026-01-01 '1 hour'
SELECT $0
SELECT CASE $1 WHEN 'a' THEN $2 ELSE 5 END \bind a 7
# postgres_exporter
SELECT *, (case pg_is_in_recovery() when 't' then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end) AS pg_current_wal_lsn, (case pg_is_in_recovery() when 't' then pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_lsn('0/0'))::float else pg_wal_lsn_diff(pg_current_wal_lsn(), pg_lsn('0/0'))::float end) AS pg_current_wal_lsn_bytes, (case pg_is_in_recovery() when 't' then pg_wal_lsn_diff(pg_last_wal_receive_lsn(), replay_lsn)::float else pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::float end) AS pg_wal_lsn_diff FROM pg_stat_replication
SELECT slot_name, slot_type, CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() - '0/0' ELSE pg_current_wal_lsn() - '0/0' END AS current_wal_lsn, COALESCE(confirmed_flush_lsn, '0/0') - '0/0' AS confirmed_flush_lsn, active, safe_wal_size, wal_status FROM pg_replication_slots
SELECT slot_name, database, active, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) FROM pg_replication_slots
SELECT pg_catalog.version()
SHOW server_version
# Barman, repmgr, check_postgres, pgwatch, psql
SELECT pg_is_in_recovery()
SELECT slot_name, active, restart_lsn FROM pg_replication_slots WHERE slot_type = 'physical' AND slot_name = 'barman'
SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'physical' AND slot_name = 's1' AND active IS FALSE
SELECT application_name, client_addr, client_port, backend_start, state, sent_lsn, write_lsn, flush_lsn, replay_lsn, sync_state FROM pg_catalog.pg_stat_replication ORDER BY sync_state DESC, sync_priority
SELECT pid, application_name, sync_state FROM pg_catalog.pg_stat_replication WHERE application_name = 's1' AND state IN ('streaming', 'catchup')
SELECT application_name, pg_wal_lsn_diff(pg_current_wal_lsn(), sent_lsn) AS a, pg_wal_lsn_diff(sent_lsn, replay_lsn) AS b FROM pg_stat_replication ORDER BY 1
SELECT client_addr, CASE WHEN pg_wal_lsn_diff(sent_lsn, replay_lsn) > 100 THEN 'behind' ELSE 'ok' END AS verdict FROM pg_stat_replication WHERE state = 'streaming' ORDER BY client_addr
select application_name as tag_application_name, concat(coalesce(client_addr::text, client_hostname), '_', client_port::text) as tag_client_info from pg_stat_replication
select application_name as tag_application_name, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), write_lsn)::int8, 0) as write_lag_b, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn)::int8, 0) as flush_lag_b, state, case when sync_state in ('sync', 'quorum') then 1 else 0 end as is_sync_int from pg_stat_replication where coalesce(application_name, '') not in ('pg_basebackup', 'pg_rewind') order by 1
select slot_name::text as tag_slot_name, coalesce(plugin, 'physical')::text as tag_plugin, active, case when active then 0 else 1 end as non_active_int, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::int8 as restart_lsn_lag_b, greatest(xmin, catalog_xmin) from pg_replication_slots
# parameters as pgjdbc and psycopg 3 give them
SELECT pid FROM pg_stat_replication WHERE pid > $1 AND application_name = $2 ORDER BY pid LIMIT $3 \bind int2=5 varchar=s1 int8=1
SELECT pid + $1, pid::int8 * $1, $1::int8, $1::text, $1 || 'x', coalesce(pid, $1), '0/10'::pg_lsn + $1 FROM pg_stat_replication ORDER BY pid \bind int2=7
SELECT pid FROM pg_stat_replication WHERE pid IN ($1, $2) ORDER BY pid \bind int2=101 int2=103
SELECT pid FROM pg_stat_replication WHERE state IN ($1, 'catchup', $2) AND application_name LIKE $2 ORDER BY pid \bind varchar=streaming varchar=s%
SELECT coalesce(state, $1), $1 || 'x', $1::text, usename = $1 FROM pg_stat_replication ORDER BY pid \bind varchar=none
SELECT $1 \bind varchar=x
SELECT $1 \bind int2=5
SELECT $1 + $2 \bind int2=5 int2=6
SELECT $1 = '5' \bind int2=5
SELECT $1 = 'x', $1 < application_name FROM pg_stat_replication \bind varchar=x
SELECT coalesce($1, state) FROM pg_stat_replication \bind varchar=x
SELECT -$1 \bind int2=5
SELECT max($1) \bind varchar=5
SELECT $1 + 1 \bind int2=70000
