from famulus.cli import main

main(prog_name="famulus")
