package relay

// Event tells, during a log-in, whose turn it is to speak.
type Event uint8

// The events. A server does not flush AuthenticationOk before the session is ready, so that a client's last answer is
// often the last sign of a log-in that goes on for long.
const (
	Begun         Event = iota + 1 // the primary has the startup packet
	Asked                          // the client owes an answer
	Answered                       // the client has answered
	Authenticated                  // AuthenticationOk has come
	Left                           // the client has gone, as far as can be seen; the primary may not have noticed
)
