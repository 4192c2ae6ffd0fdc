package admin

import "time"

// Auth shows by which method clients are verified. Everything but Method is zero with relay.
type Auth struct {
	Method    string    `json:"method" doc:"auth.method: relay, or scram"`
	Roles     int       `json:"roles" doc:"roles that are known of the primary, for the time when it is down"`
	InFile    int       `json:"in_file" doc:"roles of auth.users_file"`
	Asked     time.Time `json:"asked_at,omitzero" doc:"when the primary answered auth.query last"`
	Questions int64     `json:"questions_total" doc:"times auth.query was asked"`
	Failures  int64     `json:"failures_total" doc:"times it could not be, or gave no answer of use"`
	LastError string    `json:"last_error,omitempty" doc:"why not, the last time; absent once it was answered"`
	Down      bool      `json:"down,omitempty" doc:"the primary is down or fenced: what is known of roles is used"`
	FileError string    `json:"file_error,omitempty" doc:"why auth.users_file as it is now is not in use"`
}
