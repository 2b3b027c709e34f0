# Installs the packages of the examples in Python and TypeScript, and compiles the latter. Source this file.

# Sets $examples_python, an interpreter with the packages, and $examples_typescript, the folder with the compiled example.
install_examples() {
  local home="$1" source
  mkdir -p "$home"
  home="$(realpath "$home")"
  source=examples/revocation/typescript
  mkdir -p "$home/typescript"
  cp "$source"/*.ts "$source"/*.json "$home/typescript"
  npm ci --prefix "$home/typescript" --no-fund --no-audit --loglevel=error
  (cd "$home/typescript" && npx tsc)
  examples_typescript="$home/typescript/dist"
  [[ -x "$home/python/bin/python" ]] || python3 -m venv "$home/python"
  examples_python="$home/python/bin/python"
  "$examples_python" -m pip install --quiet --disable-pip-version-check --requirement examples/revocation/python/requirements.txt
}
