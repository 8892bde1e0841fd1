package routes

// Readings returns what servers may take the path of a URI for.
func Readings(uri string, allowed ...string) ([]string, error) { return readings(uri, allowed) }

// Oddities returns what a file may allow in paths.
func Oddities() []string { return oddities }
