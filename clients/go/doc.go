// Package triggers is the Go client of triggersd, an event inbox: programs create events, list the
// inbox, read events and acknowledge them.
//
// A [Client] holds one connection to each address and carries any number of calls at once over it. It
// connects and reconnects by itself, and any number of goroutines may share it. Requests and answers
// are the messages generated from the protocol, in package triggerspb.
//
// Every call ends by the deadline of its context, or after [Options.Timeout] when the context has
// none. Until then it is tried again when the core is busy or its store is away, and sent again when a
// connection drops. That is safe, as every create carries an id that the client made before the first
// try. Failed calls return an [*Error].
package triggers

// Version is the version of this package and of everything else in the project.
const Version = "0.1.0"
