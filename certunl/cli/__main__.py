"""python -m certunl.cli"""

from certunl.cli import main

main()
