module github.com/regionjwt/regionjwt/failover/clientcredentials/oauth2source

go 1.25.0

replace github.com/regionjwt/regionjwt => ../../..

require (
	github.com/regionjwt/regionjwt v0.0.0
	github.com/stretchr/testify v1.11.1
	golang.org/x/oauth2 v0.35.0
)

require (
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/pmezard/go-difflib v1.0.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)
