package otel

// Source is a Validator.
type Source = source

// InstrumentSource is Instrument for anything that is like a Validator.
func InstrumentSource(v Source, c Config) (stop func(), err error) { return instrument(v, c) }
