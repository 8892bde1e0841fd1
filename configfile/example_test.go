package configfile_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/regionjwt/regionjwt/configfile"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "regionjwt.json")
	err = os.WriteFile(path, []byte(`{
		"policies": [{
			"provider": {"cognito": {"pool": "us-east-1_AbCdEf123", "replicas": ["us-west-2"]}},
			"audience": {"cognitoAccess": ["7abc0example1client2id"]}
		}]
	}`), 0o600)
	if err != nil {
		fmt.Println(err)
		return
	}
	file, err := configfile.Open(path, configfile.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	v := file.Validator() // go v.Run(ctx), and go file.Follow(ctx, nil) to follow changes of the file
	fmt.Println(len(v.Status().Keys) > 0)
	// Output: true
}
