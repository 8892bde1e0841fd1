package configfile

import "reflect"

// Types of the document, for the tests that compare them with the schema and with the Config.
var (
	Document = reflect.TypeFor[document]()
	Duration = durationType
)
