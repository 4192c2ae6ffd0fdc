package sql

import "strings"

// reserved are the words that are no names. Others have a meaning only where they stand.
const reserved = " all analyse analyze and any array as asc asymmetric both case cast check collate column " +
	"constraint create current_catalog current_date current_role current_time " +
	"current_timestamp current_user default deferrable desc distinct do else end except false " +
	"fetch for foreign from grant group having in initially intersect into lateral leading " +
	"limit localtime localtimestamp not null offset on only or order placing primary " +
	"references returning select session_user some symmetric system_user table then to " +
	"trailing true union unique user using variadic when where window with "

// functionWords are names of functions and types, but not of columns or tables.
const functionWords = " authorization binary collation concurrently cross current_schema freeze full ilike inner " +
	"is isnull join left like natural notnull outer overlaps right similar tablesample verbose "

// columnWords are names of columns, but not of functions: before a parenthesis they have a syntax of their own.
const columnWords = " between bigint bit boolean char character dec decimal exists float grouping inout int " +
	"integer json json_array json_arrayagg json_exists json_object json_objectagg json_query " +
	"json_scalar json_serialize json_table json_value merge_action national nchar none " +
	"normalize numeric out overlay position precision real row setof smallint substring time " +
	"timestamp treat trim values varchar xmlattributes xmlconcat xmlelement xmlexists " +
	"xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable "

// noBareLabels are names of output columns only behind AS.
const noBareLabels = " array as char character create day except fetch filter for from grant group having hour " +
	"intersect into isnull limit minute month notnull offset on order over overlaps precision " +
	"returning second to union varying where window with within without year "

// clauses begin something that PostgreSQL has and the console has not.
const clauses = " group having window union intersect except for fetch join left right full inner cross " +
	"natural tablesample collate at similar operator over filter within select with values " +
	"array row any some all escape overlaps into distinct using symmetric asymmetric " +
	"current_date current_time localtime localtimestamp current_catalog current_role "

// has reports whether a list has a word.
func has(list, word string) bool { return strings.Contains(list, " "+word+" ") }
