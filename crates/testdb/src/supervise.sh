# Starts a program and ends it: when told, or when whoever started it is gone, however that came.
# $1 is its folder, $2 its log, $3 the signal that ends it at once; the rest is the program with
# its arguments.
folder=$1
log=$2
signal=$3
shift 3
"$@" >>"$log" 2>&1 </dev/null &
server=$!
echo "$server"
read -r word others
case $word in
stop) kill -s INT "$server" ;;
# The server first, so that it starts no others.
kill) kill -s KILL "$server" $others ;;
# The pipe is shut: nobody is left who needs the folder.
*) kill -s "$signal" "$server" ;;
esac 2>/dev/null
wait "$server"
[ -n "$word" ] || rm -rf "$folder"
